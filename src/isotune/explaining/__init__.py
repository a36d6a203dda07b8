"""Explanations of predictions: which parts of an image decided."""
