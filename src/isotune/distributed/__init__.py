"""Several processes that compute one run: how they start, and what they tell each other."""
