"""Compares two traces: what is rounding, where the sides part, and the verdict."""
