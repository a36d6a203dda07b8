"""The models that torchvision lacks, one a file."""
