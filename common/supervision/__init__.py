"""Supervision of commands by a parent process that does not talk to Ray.

Ray ends a process from C++ when its raylet or GCS is lost, and its calls can hang for ever. So the
commands that may use Ray run in a child. The parent imports next to nothing, holds the terminal,
passes signals on, ends what is left by its id, and says the last line if the child could not.
"""
