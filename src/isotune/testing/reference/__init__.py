"""Training in NumPy and float64, by textbook formulas: what every backend is compared with."""
