"""Recognizes tensors that training scripts store beside the weights.

The names are those of MindSpore's optimizers, loss scalers and ``ModelCheckpoint``:
``mindspore/nn/optim``, ``mindspore/nn/wrap`` and ``mindspore/train/callback``.
"""

from __future__ import annotations

import re
from collections.abc import Container

# fmt: off
SLOTS = frozenset({
    "accu_grads", "accum", "accum_update", "adam_m", "adam_v", "exp_avg", "exp_avg_sq", "exp_inf",
    "lamb_m", "lamb_v", "max_exp_avg_sq", "mean_grad", "mean_square", "moment", "moment1",
    "moment2", "moments", "momentum_buf", "vhat",
})
"""Prefixes (before a dot) that an optimizer adds to a parameter's name."""

AMBIGUOUS_SLOTS = frozenset({"ax", "linear", "prev", "stat", "step_size"})
"""The same, for names that a layer may have: the parameter itself must be in the file, too."""

COUNTERS = re.compile(
    r"(learning_rate|lr|momentum|weight_decay|beta[12]_power|loss_scale|scale_sense"
    r"|global_step|epoch|step|epoch_num|step_num|batch_num|cur_epoch_num|cur_step_num"
    r"|current_iterator_step|last_overflow_iterator_step|cov_step|afactor_step|last_epoch"
    r"|T_0|T_cur|T_i|best|wait|cooldown_counter|fake_lr|fake_param|graceful_exit|graceful_init)"
    r"(_\d+|_group_\d+)?"
)
"""Numbers about the training, which belong to no layer."""
# fmt: on


DROPOUT_STATE = "seed"
"""Parameter of MindSpore's dropout layers: the state of their random numbers."""


BESIDE = re.compile(
    r"criteri(on|a)|(\w*_)?loss(es)?(_\w*)?|(\w*_)?metrics?(_\w*)?|optimizers?(_\w*)?"
    r"|(train|training|val|valid|validation|test|best)_\w+"
    r"|(\w*_)?(acc|accuracy|f1|auroc|auc|precision|recall|confmat|confusion_matrix)(_?\d)?"
)
"""First parts of the names of loss functions and metrics in a training script's module."""


def is_beside(part: str) -> bool:
    """Whether the first part of a tensor's name is that of a loss function, metric or optimizer."""
    return BESIDE.fullmatch(part) is not None


def is_weight(name: str, names: Container[str]) -> bool:
    """Whether `name` is a weight, rather than optimizer state or a counter.

    Args:
        name: a tensor's name, as in the file.
        names: all names in the file.
    """
    first, dot, rest = name.partition(".")
    if not dot:
        return COUNTERS.fullmatch(name) is None
    if rest.rpartition(".")[2] == DROPOUT_STATE:
        return False
    return first not in SLOTS and not (first in AMBIGUOUS_SLOTS and rest in names)
