"""A spec that is too large is refused before it is read, whatever it comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isotune.errors import IsotuneError, SpecError
from isotune.spec.document import MOST_CHARACTERS, MOST_LEVELS, MOST_VALUES
from isotune.spec.load import load_spec
from isotune.spec.messages import MOST_LINES
from isotune.spec.overrides import MOST_OVERRIDES
from isotune.spec.space.read import read_space

SMALL: dict[str, Any] = {
    "name": "small",
    "dataset": {"path": "images"},
    "batch_size": 4,
    "backbone": "resnet18",
    "optimizer": "sgd",
    "epochs": 2,
}
VALUES = r"holds more than 10,000 values\.$"
LEVELS = r"nested too deeply, more than 100 levels\.$"
TEXT = r"holds more than 1,048,576 characters of text\.$"


class Counted(list[Any]):
    """A list that counts which of its values are looked at."""

    seen = 0

    def __iter__(self) -> Iterator[Any]:
        """Yields the values."""
        for value in super().__iter__():
            self.seen += 1
            yield value


def nested(levels: int) -> Any:
    """Returns a list in a list, so many levels deep."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def cycle() -> Any:
    """Returns a list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


def laughs(levels: int) -> Any:
    """Returns ten to the power of `levels` values, of few lists."""
    value: Any = "x"
    for _ in range(levels):
        value = [value] * 10
    return value


@pytest.mark.parametrize("load", [lambda data: load_spec({**SMALL, "freeze": data}), read_space])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({str(number): 0 for number in range(300_000)}, VALUES),
        ({"a": laughs(30)}, VALUES),
        ({"a": nested(MOST_LEVELS)}, LEVELS),
        ({"a": cycle()}, LEVELS),
        ({"a": "x" * (MOST_CHARACTERS + 1)}, TEXT),
        ({"x" * (MOST_CHARACTERS + 1): 1}, TEXT),
        ({"a": 10**5000}, r"holds a number of thousands of digits\.$"),
        ({10**5000: 1}, r"holds a number of thousands of digits\.$"),
    ],
)
def test_mappings(load: Callable[[Any], Any], data: Any, message: str) -> None:
    with pytest.raises(SpecError, match=f"^(spec|space): (is )?{message}"):
        load(data)


def test_nothing_beyond_the_limit_is_looked_at() -> None:
    values = Counted("x" for _ in range(300_000))
    with pytest.raises(SpecError, match=VALUES):
        load_spec({**SMALL, "freeze": values})
    assert values.seen <= MOST_VALUES


@pytest.mark.parametrize(
    "text", ["[" + "1," * 300_000 + "]", "\n - 1" * 200_000, "{" + "? 1," * 200_000]
)
def test_yaml(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = 0
    compose = yaml.SafeLoader.compose_node

    def counted(*args: Any) -> Any:
        nonlocal nodes
        nodes += 1
        return compose(*args)

    monkeypatch.setattr(yaml.SafeLoader, "compose_node", counted)
    path = tmp_path / "spec.yaml"
    path.write_text(f"freeze: {text}")
    for load in (load_spec, read_space):
        with pytest.raises(SpecError, match=rf"spec\.yaml: {VALUES}"):
            load(path)
    with pytest.raises(SpecError, match=rf"^--set freeze=.{{10,300}}: {VALUES}"):
        load_spec(SMALL, [f"freeze={text}"])
    assert nodes <= 3 * (2 * MOST_VALUES + 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epochs=1"] * (MOST_OVERRIDES + 1), r"^--set: is given more than 1,000 times\.$"),
        ([f"name={'x' * 600_000}"] * 2, f"^--set: {TEXT}"),
        ([f"{'a.' * MOST_LEVELS}b=1"], rf"^--set [a.]{{190}}.*: is {LEVELS}"),
        ([f"a{number}=[{'1,' * 6000}]" for number in range(2)], f"^spec: {VALUES}"),
        ([f"{'a.' * 60}b={'[' * 60}{']' * 60}"], f"^spec: is {LEVELS}"),
    ],
)
def test_overrides(overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(SMALL, overrides)


@pytest.mark.parametrize(
    "wrong",
    [
        {"freeze": list(range(9_000))},
        {"transforms": {"train": ["nothing"] * 9_000}},
        {"metrics": [f"m{number}" for number in range(9_000)]},
        {f"key{number}": 1 for number in range(9_000)},
    ],
)
def test_errors_stay_few(wrong: dict[str, Any]) -> None:
    with pytest.raises(IsotuneError) as caught:
        load_spec({**SMALL, **wrong})
    lines = str(caught.value).splitlines()
    assert len(set(lines)) == len(lines) == MOST_LINES + 1
    assert lines[-1] == f"spec: has more errors than these {MOST_LINES}."
