"""Runs, resumes and opens experiments, and the session that these share."""
