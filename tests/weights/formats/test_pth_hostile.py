"""Files that lie, or that would run code, are refused in one sentence and in little memory."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bounded import little_memory
from hostile.pickles import call, group, name, number, state, storage, tensor, text
from isotune.errors import WeightsError
from isotune.weights.formats.pth.legacy import MAGIC_NUMBER, PROTOCOL_VERSION
from isotune.weights.formats.pth.read import read_pth


def write(
    path: Path,
    pickled: bytes,
    storages: dict[str, bytes],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("any/data.pkl", pickled)
        for key, content in storages.items():
            archive.writestr(f"any/data/{key}", content)
    return path


def legacy(pickled: bytes, storages: dict[str, bytes], itemsize: int = 4) -> bytes:
    parts = [pickle.dumps(v, 2) for v in (MAGIC_NUMBER, PROTOCOL_VERSION, {})]
    parts += [pickled, pickle.dumps(list(storages), 2)]
    parts += [struct.pack("<q", len(v) // itemsize) + v for v in storages.values()]
    return b"".join(parts)


FLOATS = np.arange(8, dtype="<f4")
STORAGES = {"0": FLOATS.tobytes()}


def test_the_assembler_is_right(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", state(tensor(8, 1, [3, 2], [2, 1])), STORAGES)
    np.testing.assert_array_equal(read_pth(path)["a"], FLOATS[1:7].reshape(3, 2))


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (call("os.system", text("touch MARK")), "os.system"),
        (call("builtins.eval", text("open('MARK', 'w')")), "builtins.eval"),
        (call("os.\x1b[31msystem"), r"os\.\?\[31msystem"),
        (call("torch.hub.load", text("x")), "torch.hub.load"),
        (text("os") + text("system") + b"\x93" + group(text("touch MARK")) + b"R", "os.system"),
        (b"(" + text("touch MARK") + b"ios\nsystem\n", "os.system"),
        (b"(" + name("subprocess.Popen") + text("touch MARK") + b"o", "subprocess.Popen"),
        (name("posix.system") + group(text("touch MARK")) + b"}\x92", "posix.system"),
        (b"\x82\x01", "EXT1"),
        (name("a.b") + b"N\x93", "a name is not text"),
        (name("torch._utils._rebuild_tensor_v2") + text("x") + b"b" + b")R", "wrong arguments"),
        (call("collections.OrderedDict") + group() + b"R", "calls what is no function"),
    ],
)
def test_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_zip: bool, harm: bytes, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pth"
    pickled = state(harm)
    if is_zip:
        write(path, pickled, STORAGES)
    else:
        path.write_bytes(legacy(pickled, {}))
    with pytest.raises(WeightsError, match=named) as error:
        read_pth(path)
    assert str(path) in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "lie",
    [
        tensor(8, 0, [9], [1]),
        tensor(8, 1, [8], [1]),
        tensor(8, 0, [2, 2], [7, 2]),
        tensor(8, 0, [2], [-1]),
        tensor(8, -1, [2], [1]),
        tensor(8, 0, [2, 2], [1]),
        tensor(8, 0, [1 << 62, 4], [1, 1]),
        tensor(8, 0, [1 << 70], [0]),
        tensor(8, 0, [1] * 40, [1] * 40),
        tensor(8, 0, [1 << 30], [0]),
        tensor(8, 0, [0, 1 << 61, 4], [1, 1, 1]),
        tensor(1 << 40, 0, [1 << 40], [1]),
        tensor(9, 0, [9], [1]),
        tensor(7, 0, [7], [1]),
        tensor(8, 0, [8], [1], key="1"),
        tensor(8, 0, [8], [1], key="../../0"),
    ],
)
def test_tensors_outside_their_storage_are_refused(tmp_path: Path, lie: bytes) -> None:
    path = write(tmp_path / "a.pth", state(lie), STORAGES)
    with little_memory(), pytest.raises(WeightsError):
        read_pth(path)


def test_bombs_are_refused(tmp_path: Path) -> None:
    zeros = bytes(4 << 20)
    packed = state(tensor(1 << 20, 0, [1 << 20], [1]))
    path = write(tmp_path / "a.pth", packed, {"0": zeros}, zipfile.ZIP_DEFLATED)
    with little_memory(), pytest.raises(WeightsError, match="compressed"):
        read_pth(path)

    halves = [tensor(2, 0, [1 << 19, 2], [0, 1]) for _ in range(26)]
    write(path, state(*halves), {"0": bytes(8)})
    with pytest.raises(WeightsError, match="more memory than"):
        read_pth(path)

    # A memo entry far away, for which Python's own unpickler takes gigabytes.
    write(path, b"\x80\x02}r\xff\xff\xff\x7f.", {})
    with little_memory(), pytest.raises(WeightsError, match="empty"):
        read_pth(path)

    # A storage of 4 TB, of which the file holds nothing.
    identity = storage(8)[:-1] + b"Nt"
    sizes = group(number(8)), group(number(1))
    made = call("torch._utils._rebuild_tensor", identity + b"Q", number(0), *sizes)
    path.write_bytes(legacy(state(made), {"0": b""})[:-8] + struct.pack("<q", 1 << 40))
    with little_memory(), pytest.raises(WeightsError, match="cut off"):
        read_pth(path)

    # A text of 4 GB, of which the file holds 3 bytes.
    path.write_bytes(legacy(b"\x80\x02X\xff\xff\xff\xffabc", {}))
    with little_memory(), pytest.raises(WeightsError, match="cut off"):
        read_pth(path)


def test_torchscript_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", state(), {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("any/constants.pkl", b"")
    with pytest.raises(WeightsError, match="TorchScript"):
        read_pth(path)


def getattr_chain() -> bytes:
    """Returns getattr(getattr(a.b, "__globals__"), "system")("touch MARK")."""
    found = name("a.b")
    for attribute in ("__globals__", "system"):
        found = name("builtins.getattr") + group(found, text(attribute)) + b"R"
    return found + group(text("touch MARK")) + b"R"


@pytest.mark.parametrize(
    "harm",
    [
        getattr_chain(),
        call("pickle.loads", text("cos\nsystem\n(S'touch MARK'\ntR.")),
        call("torch.hub.load", text("x")) + b"}" + text("__setstate__") + name("a.b") + b"sb",
        name("a.b") + text("touch MARK") + b"\x85\x81" + b"]" + text("touch MARK") + b"ab",
        call("a.b") + b"(" + text("touch MARK") + b"e",
        call("a.b") + text("x") + text("touch MARK") + b"s",
        call("a." + "b" * 100_000),
        name("a.__reduce__") + name("a.b") + b"\x85R" + b")R",
        b"}q\x07" + text("itself") + b"h\x07s",
        b"]q\x07h\x07a",
        b"}" + b")" + b"\x85" * 200_000 + b"Ns",
        b"}" + (text("a") + b"}") * 100_000 + b"s" * 100_000,
    ],
)
def test_what_is_unknown_beside_the_weights_is_inert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    weight = text("w") + tensor(8, 0, [8], [1])
    pickled = b"\x80\x02}(" + text("beside") + harm + weight + b"u."
    path = write(tmp_path / "a.pth", pickled, STORAGES)
    found = read_pth(path)
    np.testing.assert_array_equal(found["w"], FLOATS)
    assert list(found) == ["w"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("copier", ["collections.OrderedDict", "torch.Size", "_codecs.encode"])
def test_what_copies_a_large_object_again_and_again_is_stopped(tmp_path: Path, copier: str) -> None:
    big = text("a" * 4_000_000) + text("latin1") + b"\x86"
    if copier != "_codecs.encode":
        pair = b"]" + text("a") + b"aNa" if copier == "collections.OrderedDict" else b"N"
        big = b"](" + pair + b"q\x01" + b"h\x01" * 200_000 + b"e\x85"
    again = b"q\x00" + (name(copier) + b"h\x00R0") * 100_000
    path = write(tmp_path / "a.pth", b"\x80\x02" + big + again + b".", {})
    with pytest.raises(WeightsError, match="too long for a checkpoint"):
        read_pth(path)


@pytest.mark.parametrize(("entry", "message"), [(b"N", "no tensor"), (b"}", "names in it")])
def test_long_keys_do_not_multiply(tmp_path: Path, entry: bytes, message: str) -> None:
    numbers = b"".join(b"J" + struct.pack("<i", number) + entry for number in range(30_000))
    nested = b"}(" + numbers + b"u"
    for _ in range(10):
        nested = b"}" + text("k" * 490) + nested + b"s"
    path = write(tmp_path / "a.pth", b"\x80\x02" + nested + b".", {})
    with pytest.raises(WeightsError, match=message):
        read_pth(path)


def test_references_do_not_multiply(tmp_path: Path) -> None:
    """A dict of ten dicts, each the same dict of ten dicts, and so on: 10 ** 40 entries."""
    nested = tensor(8, 0, [8], [1]) + b"q\x00"
    for level in range(1, 41):
        items = b"".join(text(str(i)) + b"h" + bytes([level - 1]) for i in range(10))
        nested += b"0}(" + items + b"uq" + bytes([level])
    path = write(tmp_path / "a.pth", b"\x80\x02" + nested + b".", STORAGES)
    with little_memory(), pytest.raises(WeightsError, match="no tensor"):
        read_pth(path)


def test_views_of_storages_as_before_pytorch_0_4(tmp_path: Path) -> None:
    view = group(text("view"), number(2), number(4))
    identity = storage(8)[:-1] + view + b"t"
    sizes = group(number(2), number(2)), group(number(2), number(1))
    made = call("torch._utils._rebuild_tensor", identity + b"Q", number(0), *sizes)
    path = tmp_path / "a.pth"
    path.write_bytes(legacy(state(made), STORAGES))
    np.testing.assert_array_equal(read_pth(path)["a"], FLOATS[2:6].reshape(2, 2))
