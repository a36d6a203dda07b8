"""Level of several processes: who computes a shard changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from isotune.data.workers import usable_cpus
from isotune.interfaces.communicator import Place
from isotune.testing.cases import CASES, KINDS, reference_with_dropout
from isotune.testing.contract import Contract
from isotune.testing.groups import CASES_OF, Member, in_order, run_group
from isotune.testing.same_steps import assert_same_outputs
from isotune.testing.subject import assert_states_close, in_bytes
from isotune.testing.worker import BROKEN, values

WHOLE = [(2, "whole", "alone"), (4, "whole", "alone"), (2, "plain", "plain_alone")]
SHARED = [(2, "shared"), (4, "shared"), (4, "pairs")]
FAST = [(2, "fast"), (4, "fast_shared")]


class Processes(Contract):
    """The level of several processes, which :meth:`BackendOffer.launch` starts. Needs ``tiny_bn``.

    Groups of two and four processes start once for all tests of a class.
    """

    @pytest.fixture(scope="class")
    def groups(self, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Member]]:
        """The processes of each group, by their number."""
        return {
            processes: run_group(type(self), processes, tmp_path_factory) for processes in CASES_OF
        }

    @pytest.mark.parametrize(("processes", "case", "alone"), WHOLE)
    def test_whole_shards_give_the_same_bytes(
        self, groups: dict[int, list[Member]], processes: int, case: str, alone: str
    ) -> None:
        """Weights, statistics, optimizer state, averages, logits, losses: all bytes are equal.

        Each process computes one shard of four or two, of batches that leave some of them empty.
        """
        one, members = groups[2][0], groups[processes]
        for phase in CASES[case].phases(members[0].place):
            expected = one.computed(alone, phase)
            found = in_order(members, case, phase)
            norms = {step.plan.step: outputs.grad_norm for step, outputs in expected}
            for (step, outputs), (_, other) in zip(found, expected, strict=True):
                if len(step.part):
                    assert outputs.logits.tobytes() == other.logits.tobytes()
                    assert outputs.loss == other.loss
                if step.plan.apply_update:
                    np.testing.assert_equal(outputs.grad_norm, norms[step.plan.step])
            state = one.states(alone, phase)
            assert all(member.states(case, phase) == state for member in members)
        self._check_case(members, case)

    @pytest.mark.parametrize(("processes", "case"), SHARED)
    def test_processes_share_a_shard(
        self, groups: dict[int, list[Member]], processes: int, case: str
    ) -> None:
        """BatchNorm's statistics are those of all images of a shard; masks go by position in it.

        Some processes have no image of a shard, and some shards have none at all.
        """
        self._check_case(groups[processes], case)

    @pytest.mark.parametrize(("processes", "case"), FAST)
    def test_the_fast_reduction_is_exact_to_rounding(
        self, groups: dict[int, list[Member]], processes: int, case: str
    ) -> None:
        """The framework's own all-reduce adds the same gradients in another order."""
        self._check_case(groups[processes], case)

    @pytest.mark.parametrize("processes", [2, 4])
    def test_processes_know_their_places_and_share_the_cores(
        self, groups: dict[int, list[Member]], processes: int
    ) -> None:
        """``BackendOffer.place`` numbers them; together they have no more threads than cores."""
        members = groups[processes]
        for member in members:
            expected = Place(member.place.rank, processes, member.place.rank, processes)
            assert Place(*member.found["place"].tolist()) == expected
        threads = sum(int(member.found["threads"]) for member in members)
        assert threads <= max(processes, usable_cpus())

    @pytest.mark.parametrize("processes", [2, 4])
    def test_processes_tell_each_other_any_values(
        self, groups: dict[int, list[Member]], processes: int
    ) -> None:
        """``Communicator.gather`` and ``broadcast`` keep every bit, dtype and shape, in order."""
        given = [values(rank) for rank in range(processes)]
        for name, first in given[0].items():
            stacked = np.stack([each[name] for each in given])
            expected = in_bytes({"gathered": stacked, "broadcast": first})
            for member in groups[processes]:
                found = {kind: member.found[f"{kind}/{name}"] for kind in expected}
                assert in_bytes(found) == expected

    @pytest.mark.parametrize("processes", [2, 4])
    def test_all_processes_refuse_a_shard_of_one_value(
        self, groups: dict[int, list[Member]], processes: int
    ) -> None:
        """BatchNorm cannot train on it: ``TrainingError`` in each, also where it has another."""
        (sentence,) = {str(member.found["refused"]) for member in groups[processes]}
        assert "'bn' gets one value per channel" in sentence

    @pytest.mark.parametrize("processes", [2, 4])
    def test_an_error_of_one_process_reaches_all(
        self, groups: dict[int, list[Member]], processes: int
    ) -> None:
        """It is raised in all of them, with the same sentence."""
        told = {str(member.found["told"]) for member in groups[processes]}
        assert told == {f"{type(BROKEN).__name__}: {BROKEN}"}

    def _check_case(self, members: list[Member], name: str) -> None:
        """Compares a case with the reference, and the processes with each other."""
        case = CASES[name]
        reference = reference_with_dropout(self.subject_of("tiny_bn"), case.plan)
        for phase in case.phases(members[0].place):
            reference.freeze(phase.freeze)
            assert_same_outputs(in_order(members, name, phase), reference, phase.updates)
            expected = (reference.state, reference.optimizer_state(), reference.averages)
            for kind, state in zip(KINDS, expected, strict=True):
                assert_states_close(members[0].state(name, phase, kind), state)
            state = members[0].states(name, phase)
            assert all(member.states(name, phase) == state for member in members)
