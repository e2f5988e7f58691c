"""Keeps the cluster as an InferenceCluster asks for it."""

__version__ = "0.1.0"
