"""What can be asked before PyTorch is imported, and opening."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torchvision

from isotune.errors import BackendError
from isotune_torch.plugin import TorchOffer


def test_importing_the_plugin_imports_no_framework() -> None:
    code = "import sys, isotune_torch.plugin; print(sorted({'torch', 'PIL'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_versions_are_those_imported() -> None:
    versions = TorchOffer().versions()
    assert versions["torch"] == torch.__version__
    assert versions["torchvision"] == torchvision.__version__


def test_an_absent_device_is_an_error_that_names_the_usable_ones() -> None:
    with pytest.raises(BackendError, match=r"'cuda:99'.* Usable are: .*cpu"):
        TorchOffer().open("cuda:99")
