"""Programs of tiles, and the hosts and actors that perform them."""
