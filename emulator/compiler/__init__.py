"""From a network to a program: blocks on tiles, operations, and the job that holds all of it."""
