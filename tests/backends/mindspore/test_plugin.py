"""What the plugin says before MindSpore computes anything, and which devices it opens."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from mindspore.device_context import ascend

from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune_mindspore.plugin import MindSporeOffer


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )


def test_importing_the_plugin_imports_no_framework() -> None:
    code = "import isotune_mindspore.plugin, sys; print('mindspore' in sys.modules)"
    assert python(code).stdout.strip() == "False"


def test_a_fresh_process_that_opens_the_cpu_prints_nothing() -> None:
    code = (
        "from isotune_mindspore.plugin import MindSporeOffer as Offer\n"
        "offer = Offer(); offer.versions(); offer.open(offer.devices()[-1])"
    )
    done = python(code)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_process_that_has_computed_already_can_open_the_cpu() -> None:
    code = (
        "import mindspore as ms\n"
        "print((ms.Tensor([1.0]) + 1).asnumpy()[0])\n"
        "from isotune_mindspore.plugin import MindSporeOffer as Offer\n"
        "print(Offer().open('cpu').device)"
    )
    assert python(code).stdout.split() == ["2.0", "cpu"]


def test_numpy_2_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(BackendError, match=r"numpy<2, but NumPy 2\.1\.0"):
        MindSporeOffer().devices()


def test_unknown_device_is_an_error_with_a_hint(backend: Backend) -> None:
    with pytest.raises(BackendError, match=r"'cpu:0'.*Did you mean 'cpu'\?"):
        MindSporeOffer().open("cpu:0")


def test_a_process_has_one_device(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascend, "is_available", lambda: True)
    monkeypatch.setattr(ascend, "device_count", lambda: 2)
    offer = MindSporeOffer()
    assert offer.devices() == ["ascend:0", "ascend:1", "cpu"]
    with pytest.raises(BackendError, match=r"uses cpu already.*new process for 'ascend:1'"):
        offer.open("ascend:1")
    assert offer.open("cpu").device == "cpu"
