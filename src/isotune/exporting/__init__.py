"""Verified exports: models for other programs, and model cards."""
