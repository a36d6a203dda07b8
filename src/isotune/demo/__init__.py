"""``isotune demo``: real ImageNet weights, real images, every backend, without a network."""
