"""The emulator: configs, networks, programs, executors, training, and the command line."""
