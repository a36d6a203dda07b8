"""Neutral data: sources, downloads, checks, transforms and batches of uint8 NumPy arrays."""
