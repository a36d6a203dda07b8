"""PyTorch's files, read without PyTorch."""
