"""What the operator and the nodes of kvring promised each other."""

__version__ = "0.1.0"
