"""``isotune convert`` tells what it recognized and what it wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isotune.catalogue.layouts import layout
from isotune.testing.values import state
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import write_weights


def test_it_tells_what_was_recognized_and_written(isotune, tmp_path: Path):
    tensors = state(layout("mobilenet_v2") or {})
    write_weights("in.ckpt", {**tensors, "global_step": np.array(3)})
    done = isotune("convert", "in.ckpt", "out.pth")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "read     in.ckpt: mobilenet_v2; dialect: MindSpore",
        "         left out beside the weights: 1 tensor (global_step)",
        "written  out.pth: 262 tensors; head: classifier.1.weight (1000, 1280),"
        " classifier.1.bias (1000,)",
    ]
    found = read_weights("out.pth")
    np.testing.assert_array_equal(found["features.0.1.weight"], tensors["features.0.1.weight"])

    again = isotune("convert", "in.ckpt", "out.pth")
    assert again.exit_code == 2
    assert again.stderr == "isotune: 'out.pth' is there already; --force replaces it.\n"
    assert isotune("convert", "in.ckpt", "out.pth", "--force").exit_code == 0


def test_what_cannot_be_read_is_one_sentence(isotune, tmp_path: Path):
    Path("in.ckpt").write_bytes(b"\x0a\x05\x0a\x01a\x12\x7f")
    done = isotune("convert", "in.ckpt", "out.pth")
    assert done.exit_code == 2
    assert done.stderr == (
        "isotune: weights file 'in.ckpt' cannot be read: it is damaged or cut off.\n"
    )
    assert not Path("out.pth").exists()
