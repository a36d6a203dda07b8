"""How long a thread of OpenMP that has nothing to do spins before it sleeps."""

from __future__ import annotations

import os

SPINS = "2000"
"""Iterations of GNU OpenMP's waiting loop: some 30 µs, where its default of 300,000 is 3 to 15 ms.

On 2 cores of an x86 CPU, a training step of MobileNetV2 with 8 images at 224 pixels (torch 2.15,
fp32, 2 threads) takes 144 ms with this number, 140 with the default, and 198 if threads sleep at
once (``OMP_WAIT_POLICY=passive``). Beside one other busy process it takes 385, 550 and 297 ms;
beside two, 396, 1213 (480 to 1891) and 484 ms: a thread that spins keeps the core for which another
one that has work is waiting.
"""

CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Variables by which a user chooses how threads wait."""


def spin_briefly() -> None:
    """Has threads of GNU OpenMP spin for some microseconds only, unless the user has chosen.

    Must run before the first import of a framework that computes with them: the library reads the
    environment once, when it is loaded. Processes that this one starts inherit the number. Other
    OpenMP libraries do not read it.
    """
    if not any(name in os.environ for name in CHOICES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
