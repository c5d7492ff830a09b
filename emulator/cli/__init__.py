"""The command line of one run: commands, options, tables, progress."""
