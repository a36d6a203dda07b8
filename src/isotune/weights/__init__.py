"""Weights without a framework: reading and writing files, renaming tensors, checking shapes."""
