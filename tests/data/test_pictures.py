from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

import isotune
from cifar import make_cifar10
from isotune.data.sources import FORMATS
from isotune.errors import DatasetError
from isotune.reports.predictions import examples
from isotune.spec.parts import DatasetSpec
from tiny import experiment, numpy_plugins


def test_every_format_of_the_spec_can_be_opened() -> None:
    assert set(get_args(DatasetSpec.model_fields["format"].annotation)) == set(FORMATS)


def test_a_run_on_cifar10_needs_no_word_about_splits(tmp_path: Path) -> None:
    root = make_cifar10(tmp_path / "cifar", records=10)
    spec = experiment(root, dataset={"format": "cifar10", "path": str(root)})
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    assert run.classes[:2] == ("airplane", "automobile")
    assert len(run.evaluate("train").labels) == 50
    assert run.evaluate("test").loss == run.evaluate().loss == run.best.val_loss
    other = make_cifar10(tmp_path / "other" / "cifar-10-batches-bin", records=4)
    assert len(run.evaluate(data=other.parent).labels) == 4

    shown = examples(run, count=5)
    assert [each.label for each in shown] == [run.classes[index] for index in (1, 3, 5, 7, 9)]
    assert shown[0].image.shape == (32, 32, 3)
    with pytest.raises(DatasetError, match="has no split 'valid'"):
        run.evaluate("valid")
