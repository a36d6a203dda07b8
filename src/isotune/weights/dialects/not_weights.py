"""What training scripts store beside the weights, and is none.

The names are those that MindSpore's optimizers, loss scalers and ``ModelCheckpoint`` give:
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
"""What an optimizer puts before a parameter's name, and a dot."""

AMBIGUOUS_SLOTS = frozenset({"ax", "linear", "prev", "stat", "step_size"})
"""The same, where a layer may have that name: the parameter itself must be there too."""

COUNTERS = re.compile(
    r"(learning_rate|lr|momentum|weight_decay|beta[12]_power|loss_scale|scale_sense"
    r"|global_step|epoch|step|epoch_num|step_num|batch_num|cur_epoch_num|cur_step_num"
    r"|current_iterator_step|last_overflow_iterator_step|cov_step|afactor_step|last_epoch"
    r"|T_0|T_cur|T_i|best|wait|cooldown_counter|fake_lr|fake_param|graceful_exit|graceful_init)"
    r"(_\d+|_group_\d+)?"
)
"""Figures of the training itself, which have no layer."""
# fmt: on


DROPOUT_STATE = "seed"
"""What the mindspore backend's dropout layers hold: where their random numbers go on."""


def is_no_weight(name: str, names: Container[str]) -> bool:
    """Tells whether `name` is optimizer state or a counter.

    Args:
        name: a tensor's name, as in the file.
        names: all names in the file.
    """
    first, dot, rest = name.partition(".")
    if not dot:
        return COUNTERS.fullmatch(name) is not None
    if rest.rpartition(".")[2] == DROPOUT_STATE:
        return True
    return first in SLOTS or (first in AMBIGUOUS_SLOTS and rest in names)
