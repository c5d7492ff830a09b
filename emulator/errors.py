"""Errors that are the user's to mend; the command line prints them in one line and exits with 2."""


class ConfigError(ValueError):
    """A config is wrong: the message names the field, the law and the value."""


class RunError(RuntimeError):
    """A run failed in a tile or in the cluster; the message says what, where and why."""


class RunLost(RunError):  # noqa: N818  because it names what happened
    """A run failed through no fault of its own: resumed, it may well succeed."""


class HostLost(RunLost):
    """An actor, a node or a channel is lost; what is left can go on from the last checkpoint."""
