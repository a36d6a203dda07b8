"""Which signals ask a run to stop, and which interrupt it."""

from __future__ import annotations

import signal

import pytest

from isotune.training.stop import stop_on_signals

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("first", [INT, TERM])
@pytest.mark.parametrize("second", [INT, TERM])
def test_a_second_signal_interrupts_a_process_that_is_alone(
    first: signal.Signals, second: signal.Signals
) -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(first)
        assert stop.reason == first.name
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)


@pytest.mark.parametrize("first", [INT, TERM])
def test_of_several_processes_none_is_interrupted_by_what_a_launcher_sends(
    first: signal.Signals,
) -> None:
    with stop_on_signals(alone=False) as stop:
        signal.raise_signal(first)
        for _ in range(2):
            signal.raise_signal(TERM)
        assert stop.reason == first.name
        if first is TERM:
            signal.raise_signal(INT)  # a terminal may send it after the launcher
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(INT)
