"""Searches a space of specs: trials of a sweep, in Optuna's storage and in run folders."""
