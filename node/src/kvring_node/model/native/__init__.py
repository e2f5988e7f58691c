"""Kernels in C++ for float32 on a CPU, and the parts of a transformer that are made of them."""
