"""The inference engine of one kvring pod, and its HTTP front."""

__version__ = "0.1.0"
