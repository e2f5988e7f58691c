"""Who goes first: one policy a file, chosen by name in `registry`."""
