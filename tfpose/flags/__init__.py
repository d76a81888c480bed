"""The command-line flags and habits that several programs share."""
