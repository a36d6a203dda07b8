"""Runs that an earlier version wrote, which later ones open, evaluate and resume."""
