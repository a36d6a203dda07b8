"""Differences between other libraries' models and the backbones, for the user."""

from __future__ import annotations

SAME_PADDING = (
    "its original model pads like TensorFlow's SAME, more on the right and below, whereas this one"
    " pads evenly: its logits differ here until it is fine-tuned"
)

SAME_POOLING = (
    "its original model pads its max pooling on the right and below only, whereas this one pads"
    " evenly: its logits differ here until it is fine-tuned"
)

POOLING_WITHOUT_PADDING = (
    "its original model leaves the padding out of its averages, whereas this one counts it: its"
    " logits differ here until it is fine-tuned"
)

TANH_GELU = (
    "its original model approximates GELU by a tanh, whereas this one computes it: its logits"
    " differ here by some 0.0002 of the largest"
)
