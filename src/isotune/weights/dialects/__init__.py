"""Translates the tensor names of other tools to canonical names."""
