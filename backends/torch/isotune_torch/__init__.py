"""The torch backend: Isotune's nouns on CPUs, CUDA GPUs, Apple GPUs and Ascend NPUs."""
