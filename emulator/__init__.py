"""What is run: configs, networks, programs, executors, training, and the command line."""
