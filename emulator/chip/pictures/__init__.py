"""The pictures of a chip report."""
