"""Channels between tile hosts: sockets, keys, and the messages on them."""
