"""A frozen backbone runs apart from the head, and what comes out of it is kept."""
