"""The changes of a step, with the stages where they have to be found: one of each side."""

from __future__ import annotations

from collections.abc import Callable

from experiments import SWAPPED
from mutant import Mutant
from step_changes import FROZEN, PART

Maker = Callable[[int, str], Mutant]
"""Makes a mutant from its number and its side."""


def change(
    experiment: str, name: str, what: str, stages: tuple[str, ...], names: tuple[str, ...] = ()
) -> Maker:
    """Returns a maker of a mutant with a change of :mod:`step_changes` or :mod:`rules`."""
    return lambda number, side: Mutant(
        number, experiment, side, name, what, stages=stages, names=names
    )


UPDATE = ("update",)
SEED = ("forward",)

STEP_MUTANTS: tuple[Maker, ...] = (
    change("nesterov", "no_nesterov", "momentum without Nesterov", UPDATE),
    change("nesterov", "nesterov_before_buffer", "Nesterov with the old buffer", UPDATE),
    change("nesterov", "dampened", "gradient dampened in the buffer", UPDATE),
    change("nesterov", "rate_in_buffer", "learning rate inside the buffer", ("state",)),
    change("nesterov", "decay_outside_buffer", "decay on the wrong side", (*UPDATE, "state")),
    change("nesterov", "weight_decay_missing", "no weight decay", UPDATE),
    change("nesterov", "weight_decay_of_norms", "decay of norms and biases, too", UPDATE),
    change("nesterov", "other_momentum", "momentum 0.8 instead of 0.9", UPDATE),
    change("nesterov", "learning_rate", "learning rate 1% larger", UPDATE),
    change("nesterov", "part_scaled", f"learning rate of {PART} times 1.5", UPDATE, (f"{PART}.",)),
    change("adamw", "coupled_decay", "Adam's decay instead of AdamW's", UPDATE),
    change("adamw", "other_beta", "second beta 0.99 instead of 0.999", ("state",)),
    change("adamw", "swapped_betas", "betas swapped", (*UPDATE, "state")),
    change("adamw", "adam_eps", "eps 1e-5 instead of 1e-8", UPDATE),
    change("clipped", "clipped_higher", "gradient clipped to twice the norm", UPDATE),
    change("clipped", "not_clipped", "gradient not clipped", UPDATE),
    change("frozen", "frozen_moves", "a frozen layer moves", ("gradient", "update"), (FROZEN,)),
    change("frozen", "frozen_norms_train", "frozen BatchNorm trains", ("forward",), ("bn1",)),
    change("dropping", "dropout_seed", "dropout's seed off by one", SEED, ("classifier.0",)),
    change("dropping", "dropout_step", "dropout's step off by one", SEED, ("classifier.0",)),
    change("auxiliary", "auxiliary_weight", "auxiliary losses weigh 10% more", ("loss",)),
    change("batches", "label_smoothing", "labels smoothed by 0.01", ("loss",)),
    change("batches", "class_weights", "the last class weighs twice as much", ("loss",)),
    change("batches", "images_permuted", "images permuted, labels not", ("input",)),
    change("batches", "batch_permuted", "images and labels permuted", ("input",)),
    change("batches", "images_flipped", "images flipped", ("input",)),
    change("batches", "images_bgr", "images in BGR", ("input",)),
    change("batches", "one_pixel_off", "images one pixel off", ("input",)),
    change("batches", "labels_permuted", "labels permuted, images not", ("loss",)),
    change("batches", "label_order", "classes in the opposite order", ("loss",)),
    change("batches", "image_differs", "one image of the folder differs", ("batch",)),
    change("batches", "class_renamed", "a class has another name", ("experiment",)),
    change("batches", "tensors_swapped", "two tensors swapped in the weights", ("start",), SWAPPED),
    change("batches", "mean_of_bgr", "normalized by BGR's constants", ("input",)),
)


def placed(experiment: str, name: str, what: str, path: str, partner: str | None = None) -> Maker:
    """Returns a maker of a mutant of a known layer."""
    return lambda number, side: Mutant(number, experiment, side, name, what, path, partner)


PLACED_MUTANTS: tuple[Maker, ...] = (
    placed("inception_v3", "zeros_not_counted", "means of pooling without zeros", "Mixed_5c"),
    placed(
        "resnet50",
        "stride_moved",
        "stride in the block's first convolution",
        "layer2.0.conv1",
        "layer2.0.conv2",
    ),
    placed("resnet50", "stride_dropped", "stride 1 instead of 2", "conv1"),
)
"""Changes that only some layers allow: one of each side."""
