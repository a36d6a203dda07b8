"""How far an exported model may be from its run, and what that is relative to."""

from __future__ import annotations

import numpy as np
import pytest

from isotune.errors import SpecError
from isotune.exporting.comparison import scales
from isotune.exporting.verification import Limits


def test_differences_are_relative_to_the_logits_of_an_image_or_a_usual_one() -> None:
    ordinary = [[3.0, -4.0], [2.0, 1.0], [4.0, 0.5]]
    near_tie, outlier = [0.01, 0.0], [5000.0, 0.0]
    logits = np.array([*ordinary, near_tie, outlier], dtype=np.float32)
    np.testing.assert_array_equal(scales(logits), [4, 4, 4, 4, 5000])


def test_logits_of_an_untrained_head_are_no_reason_for_leniency() -> None:
    """They are small, and so are the differences that a wrong graph makes."""
    single = np.array([[0.02], [-0.01], [0.03]], dtype=np.float32)
    np.testing.assert_allclose(scales(single), [0.02, 0.02, 0.03])
    assert (scales(np.zeros((2, 3), dtype=np.float32)) > 0).all()


@pytest.mark.parametrize("accept_loss", [-0.01, 1.01, float("nan")])
def test_an_accepted_loss_is_a_share(accept_loss: float) -> None:
    with pytest.raises(SpecError, match=r"^accept_loss: is .*, but should be from 0 to 1"):
        Limits.of("int8", "normalize", accept_loss)
