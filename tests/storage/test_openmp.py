"""GNU OpenMP's threads spin briefly, and the user's own choice stands."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from isotune.storage.openmp import CHOICES, SPINS, spin_briefly


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for wheels with GNU OpenMP")
def test_torch_is_imported_with_threads_that_spin_briefly() -> None:
    pytest.importorskip("torch")
    inherited = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run(
        [sys.executable, "-c", "import isotune_torch.plugin, torch"],
        capture_output=True,
        text=True,
        check=True,
        env={**inherited, "OMP_DISPLAY_ENV": "VERBOSE"},
    )
    # As the library itself has read it.
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {SPINS}


@pytest.mark.parametrize("chosen", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "123"}])
def test_what_the_user_has_chosen_stands(
    chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    spin_briefly()
    assert {name: os.environ[name] for name in CHOICES if name in os.environ} == chosen
