"""The run folder: what a run leaves on disk, and how it is opened again."""
