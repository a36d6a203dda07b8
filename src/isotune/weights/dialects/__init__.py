"""Names that other tools give to the same tensors, and how they become canonical."""
