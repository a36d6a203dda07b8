"""Shows runs and sweeps in progress: on a terminal, in a notebook, in a file."""
