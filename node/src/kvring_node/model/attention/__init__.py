"""Attention over pages: what it promises, and torch's own way to do it. The kernels' is in `native`."""
