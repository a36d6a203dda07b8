"""Neutral weights: files read without a framework, other names renamed, models matched."""
