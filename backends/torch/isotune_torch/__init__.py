"""The torch backend: Isotune's nouns on CPUs, CUDA GPUs, Apple GPUs and Ascend NPUs."""

from isotune.storage.openmp import spin_briefly

spin_briefly()
