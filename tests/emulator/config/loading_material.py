"""What several tests of loading need."""


def fields(tree, path=()):
    """Path of everything in a tree of mappings."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from fields(value, (*path, key))
