"""Mixes the images of training batches: each rule is a module, a subclass of
:class:`isotune.spec.mixing.MixingRule` that is found here by its name.

What timm's ``FastCollateMixup`` does in its mode ``batch``, to the byte, given the same numbers:
one rule and one number for a batch, on uint8 and rounded. Two things differ: an odd batch leaves no
image unmixed, and the numbers follow from the seed and the training step.
"""
