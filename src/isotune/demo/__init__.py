"""``isotune demo``: real ImageNet weights, real pictures, every backend, without a network."""
