"""A training strategy: a frozen backbone runs apart from the head, and its features are cached."""
