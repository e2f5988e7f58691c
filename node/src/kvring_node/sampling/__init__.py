"""Choosing tokens, and saying how likely they were."""
