"""Division: every image is computed once, whoever computes it, and shards do not depend on it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isotune.interfaces.division import Division

DIVISIONS = st.tuples(st.integers(1, 6), st.integers(1, 4), st.booleans()).map(
    lambda drawn: (drawn[0], drawn[0] * drawn[1]) if drawn[2] else (drawn[0] * drawn[1], drawn[0])
)


@given(counts=DIVISIONS, images=st.integers(0, 40))
def test_each_image_is_in_one_part_and_its_shard_is_everywhere_the_same(
    counts: tuple[int, int], images: int
) -> None:
    shards, processes = counts
    parts = [
        part for r in range(processes) for part in Division(shards, processes, r).divide(images)
    ]
    places = [place for part in parts for place in range(part.start, part.stop)]
    assert places == list(range(images))
    assert [part.index for part in parts] == list(range(max(shards, processes)))
    assert all(part.sizes == tuple(map(len, parts)) for part in parts)
    alone = Division(shards).divide(images)
    for part in parts:
        whole = alone[part.shard]
        assert len(part) == 0 or whole.start + part.first == part.start
        assert whole.start <= part.start and part.stop <= whole.stop
    assert max(map(len, alone)) - min(map(len, alone)) <= 1


def test_a_process_knows_its_last_part() -> None:
    assert [part.last for part in Division(4, 2, 1).divide(8)] == [False, True]
    assert [part.last for part in Division(2, 4, 3).divide(8)] == [True]
    assert Division().whole and not Division(2).whole
