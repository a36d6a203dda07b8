"""Keeps MindSpore's CPU convolutions off oneDNN's slowest path."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import mindspore as ms

AVX2 = 0x7
"""``dnnl_cpu_isa_avx2`` of oneDNN's C interface."""


def avoid_reference_convolutions() -> None:
    """Limits MindSpore's own copy of oneDNN to AVX2, before its first operation.

    On CPUs with AVX-512, the oneDNN 3.10 within MindSpore 2.10 computes convolutions on NCHW data
    by its reference code (its log: ``jit_uni_ncsp:conv+ref:any``), which takes about a hundred
    times as long: seconds for a 3 x 3 convolution of 8 samples of 64 maps of 56 x 56, not tens
    of milliseconds. Other libraries in the process, such as PyTorch, have their own oneDNN and
    are not touched.

    Does nothing where the user has set a limit, or where there is no such library or function.
    """
    if "ONEDNN_MAX_CPU_ISA" in os.environ or "DNNL_MAX_CPU_ISA" in os.environ:
        return
    library = Path(ms.__file__).parent / "lib" / "libdnnl.so.3"
    try:
        ctypes.CDLL(str(library)).dnnl_set_max_cpu_isa(ctypes.c_int(AVX2))
    except (OSError, AttributeError):
        return
