"""MindSpore's checkpoint files, read without MindSpore."""
