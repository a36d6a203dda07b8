"""The model of an experiment: build, head, initial values, freezing, summary."""
