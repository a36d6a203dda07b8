"""The truth the contract compares with: training written out in float64 NumPy."""
