"""Training a network on tiles, and what is done with it afterwards."""
