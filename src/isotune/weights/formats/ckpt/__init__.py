"""Reads and writes MindSpore's checkpoint files without MindSpore."""
