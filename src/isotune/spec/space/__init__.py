"""The search space of a sweep: its file, its parameters, and the check that they fit a spec."""
