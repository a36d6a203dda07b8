"""MindSpore's checkpoints are read as MindSpore reads them, without it."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest

from bounded import little_memory
from isotune.errors import WeightsError
from isotune.weights.formats.ckpt.read import TRAILER
from isotune.weights.formats.ckpt.write import write_ckpt
from isotune.weights.formats.protobuf import bytes_field, number_field, varint
from isotune.weights.formats.read import read_weights


def entry(
    tag: str, dims: tuple[int, ...], content: bytes, dtype: str = "Float32", extra: bytes = b""
) -> bytes:
    """Returns an entry as MindSpore writes it; a negative dimension as protobuf does."""
    tensor = b"".join(number_field(1, side % (1 << 64)) for side in dims)
    tensor += bytes_field(2, dtype.encode()) + bytes_field(3, content)
    return bytes_field(1, bytes_field(1, tag.encode()) + bytes_field(2, tensor) + extra)


FLOATS = np.arange(6, dtype="<f4")
GOOD = entry("a", (2, 3), FLOATS.tobytes())


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u2", "u1", "?"])
def test_what_is_written_is_read(tmp_path: Path, dtype: str) -> None:
    state = {
        "a": np.arange(6).reshape(2, 3).astype(dtype),
        "scalar": np.array(1, dtype),
        "empty": np.zeros((0, 3), dtype),
    }
    path = tmp_path / "a.ckpt"
    with path.open("wb") as file:
        write_ckpt(file, state)
    found = read_weights(path)
    assert list(found) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_bfloat16_old_scalars_packed_dimensions_and_texts(tmp_path: Path) -> None:
    packed = bytes_field(1, varint(2) + varint(3)) + bytes_field(2, b"Float32")
    packed += bytes_field(3, FLOATS.tobytes())
    path = write(
        tmp_path / "no_suffix",
        entry("half", (1, 2), b"\xc0\x3f\x00\xc0", "BFloat16"),
        entry("one", (), b"\xc0\x3f", "BFloat16"),
        entry("old", (0,), FLOATS[:1].tobytes()),
        entry("who", (0,), b"m\0\0\0e\0\0\0", "str"),
        bytes_field(1, bytes_field(2, packed) + bytes_field(1, b"packed") + number_field(9, 1)),
    )
    found = read_weights(path)
    assert list(found) == ["half", "one", "old", "packed"]
    assert found.beside == ("who",)
    np.testing.assert_array_equal(found["half"], np.array([[1.5, -2]], np.float32), strict=True)
    np.testing.assert_array_equal(found["one"], np.array(1.5, np.float32), strict=True)
    assert found["old"].shape == ()
    np.testing.assert_array_equal(found["packed"], FLOATS.reshape(2, 3))


def test_pieces_of_a_tensor_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isotune.weights.formats.ckpt.write.PIECE", 10)
    file = io.BytesIO()
    write_ckpt(file, {"a": FLOATS.reshape(2, 3), "b": FLOATS})
    assert file.getvalue().count(b"Float32") == 6
    found = read_weights(write(tmp_path / "a.ckpt", file.getvalue()))
    np.testing.assert_array_equal(found["a"], FLOATS.reshape(2, 3))
    np.testing.assert_array_equal(found["b"], FLOATS)


def test_the_checksum_is_checked(tmp_path: Path) -> None:
    trailer = TRAILER + zlib.crc32(GOOD).to_bytes(10, "big")
    path = write(tmp_path / "a.ckpt", GOOD, trailer)
    np.testing.assert_array_equal(read_weights(path)["a"], FLOATS.reshape(2, 3))
    write(path, GOOD.replace(b"\x80\x3f", b"\x80\x40"), trailer)
    with pytest.raises(WeightsError, match="its CRC is wrong"):
        read_weights(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([b"\xd8\x5e\x3a\x7f" + bytes(40)], "encrypted"),
        ([GOOD, entry("b", (1,), b"1234"), GOOD], "'a' is there twice"),
        ([GOOD, entry("a", (6,), FLOATS.tobytes())], "'a' is there twice"),
        ([GOOD, GOOD], r"shape \(2, 3\) cannot have 48 bytes"),
        ([entry("a", (2, 2), FLOATS.tobytes())], r"shape \(2, 2\) cannot have 24 bytes"),
        ([entry("a", (-2, -3), FLOATS.tobytes())], "negative dimension"),
        ([entry("a", (1 << 40,), b"")], "cannot have 0 bytes"),
        ([entry("a", (1 << 40, 1 << 40, 0), b"")], "too large"),
        ([entry("a", (1,) * 40, b"1234")], "more than 32 dimensions"),
        ([entry("a", (6,), FLOATS.tobytes(), "Int4")], "'Int4', which is not supported"),
        ([entry("a", (0,), b"", "str")], "no tensor"),
        ([entry("a" * 2000, (0,), b"")], "damaged"),
        ([entry("a", (1,), b"1234", extra=bytes_field(3, b""))], "map of embeddings"),
        ([entry("a", (1,), b"1234", extra=bytes_field(1, b"b"))], "damaged"),
        ([GOOD, number_field(1, 5)], "damaged"),
        ([GOOD, bytes_field(1, bytes_field(1, b"b"))], "damaged"),
        ([GOOD, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"], "damaged"),
        ([GOOD, b"\x0b"], "damaged"),
        ([bytes_field(1, bytes_field(1, b"\xff\xfe") + bytes_field(2, b""))], "damaged"),
    ],
)
def test_files_that_lie_are_refused(tmp_path: Path, parts: list[bytes], message: str) -> None:
    path = write(tmp_path / "a.ckpt", *parts)
    with little_memory(), pytest.raises(WeightsError, match=message) as error:
        read_weights(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_number_of_entries_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isotune.weights.formats.ckpt.read.MAX_ENTRIES", 3)
    path = write(tmp_path / "a.ckpt", *[entry(str(i), (), b"1234") for i in range(3)])
    assert len(read_weights(path)) == 3
    write(path, path.read_bytes(), entry("3", (), b"1234"))
    with pytest.raises(WeightsError, match="more than 3 entries"):
        read_weights(path)
