"""Hostile archives: nothing outside of the folder changes, and no link is ever made in it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from hostile.harness import Attack, Suite
from isotune.data.archives import budget
from isotune.data.archives.unpack import unpack
from isotune.data.download import dataset_root

LIMIT = 1 << 20
"""Number of bytes that a small archive may unpack to."""

PLAIN = ("train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "top/train/a/é.png", "a")

NAMES = (
    *("", ".", "..", "/", "//", "./", "../", "...", "a/", "a//b", "./a/./b", "a/.", " ", "~/x"),
    *("../canary", "../../canary", "a/../../canary", "..\\canary", "a\\..\\..\\canary"),
    *("/canary", "//canary", "\\\\host\\share\\x", "C:\\x", "C:x", "C:", "a/C:/x", "a:stream"),
    *("CON", "nul.jpg", "aux/x", "x.", "x ", "A", "a/b", "a/B", "TRAIN/A/1.JPG"),
    *("a\0b", "\0", "a\nb", "\x1b[31mred", "a\tb", "\u202egpj.exe", "．．/canary", "\ud800"),
    *("x" * 255, "x" * 256, "x/" * 300 + "x", "d/" * 2000, "é" * 128, "a/" * 60 + "b"),
    *(".ssh/authorized_keys", ".bashrc", "-rf", "*", "__MACOSX/._1.jpg", ".DS_Store"),
)

CONTENTS = (b"", b"x", b"image" * 99, bytes(9000), b"PK\x05\x06" + bytes(18), bytes(3 * LIMIT))

KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
KINDS += (tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"V", b"Z")


@dataclass(frozen=True)
class Entry:
    """An entry of an archive.

    Attributes:
        name: Its name.
        content: Its content.
        kind: Its kind in a tar archive; in a zip archive, a link if it is one.
        target: Where it links to.
    """

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""


def entries(rng: random.Random, outside: str) -> list[Entry]:
    """Draws entries, some of which have names, links and kinds that they should not have."""
    names = (*NAMES, f"{outside}/canary", f"{outside}/new", outside)
    result = []
    for _ in range(rng.choice((0, 1, 3, 9))):
        hostile = rng.random() < 0.4
        name = rng.choice(names if hostile else PLAIN)
        kind = rng.choice(KINDS) if rng.random() < 0.25 else tarfile.REGTYPE
        content = rng.choice(CONTENTS[:-1] if rng.random() < 0.9 else CONTENTS)
        result.append(Entry(name, content, kind, rng.choice((*names, *PLAIN))))
    if rng.random() < 0.2:  # a link, and a file written through it
        link = rng.choice(("..", outside, ".", "loop"))
        result += [Entry("loop", kind=tarfile.SYMTYPE, target=link), Entry("loop/canary", b"evil")]
    if rng.random() < 0.02:
        result += [Entry(f"many/{number}") for number in range(rng.choice((200, 800)))]
    return result


def zip_archive(rng: random.Random, wanted: list[Entry]) -> bytes:
    """A zip archive whose directory says what `wanted` says, or lies."""
    file = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    compression = rng.choice(methods[: 4 if len(wanted) < 100 else 1])  # the others are slow
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are there twice
        for entry in wanted:
            info = zipfile.ZipInfo("x" * len(entry.name.encode("utf-8", "replace")))
            info.compress_type = compression
            if entry.kind == tarfile.SYMTYPE:
                info.external_attr = 0o120777 << 16
            elif entry.kind != tarfile.REGTYPE:
                info.external_attr = rng.randrange(1 << 16) << 16
            if rng.random() < 0.05:
                info.extra = rng.choice((b"\1\0\x18\0" + b"\xff" * 24, b"\1\0\xff\xff", b"\1"))
            info.filename = entry.name.replace("\ud800", "?")
            archive.writestr(info, entry.content or entry.target.encode("utf-8", "replace"))
    data = bytearray(file.getvalue())
    if rng.random() < 0.3:
        lie(rng, data)
    return bytes(data)


def lie(rng: random.Random, data: bytearray) -> None:
    """Changes a field of a header: flags, method, checksum, sizes, lengths, offset."""
    for magic, size in ((b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22)):
        at = data.find(magic, rng.randrange(len(data)))
        if at >= 0 and at + size <= len(data) and rng.random() < 0.6:
            value = rng.choice((0, 1, 0xFFFF, 0x7FFF, 14, rng.randrange(1 << 16)))
            struct.pack_into("<H", data, at + rng.randrange(4, size - 2), value)


def tar_archive(rng: random.Random, wanted: list[Entry]) -> bytes:
    """A tar archive, in one of its dialects and compressions."""
    file = io.BytesIO()
    dialect = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=file, mode="w", format=dialect, errors="surrogatepass") as archive:
        for entry in wanted:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.size = entry.kind, entry.target, len(entry.content)
            if dialect == tarfile.PAX_FORMAT and rng.random() < 0.3:
                info.pax_headers = rng.choice(PAX)
            try:
                archive.addfile(info, io.BytesIO(entry.content))
            except ValueError:
                continue  # the dialect cannot write such a name
    data = file.getvalue()
    if rng.random() < 0.2:
        data = rewritten(rng, data)
    compress = rng.choice((bytes, bytes, gzip.compress, bz2.compress, quick_xz))
    return compress(data)


PAX = (
    {"path": "../canary"},
    {"path": "a\0b"},
    {"path": ""},
    {"linkpath": "/etc/passwd"},
    {"size": "-1"},
    {"size": "9" * 4000},
    {"size": "12345678901"},
    {"mtime": "nan"},
    {"GNU.sparse.map": "0,1,x"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "../canary"},
    {"GNU.sparse.size": "99999999999", "GNU.sparse.map": "0,99999999999"},
    {"hdrcharset": "BINARY", "uname": "x" * 9000},
)
"""Headers that pax archives may have beside an entry."""


def quick_xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


def rewritten(rng: random.Random, data: bytes) -> bytes:
    """Headers with other numbers and kinds, and chains of headers, whose checksums are right."""
    blocks = bytearray(data)
    for at in range(0, len(blocks) - 512, 512):
        if blocks[at + 257 : at + 262] != b"ustar" or rng.random() < 0.5:
            continue
        field = rng.choice((100, 124, 136, 148, 156, 345, 386, 482))
        blocks[at + field : at + field + 8] = rng.choice(
            (b"7" * 8, b"\x80" + b"\xff" * 7, b"\xff" * 8, b"-0000001", bytes(8), b"LKxgSV01")
        )
        blocks[at + 148 : at + 156] = b" " * 8
        blocks[at + 148 : at + 156] = b"%06o\0 " % (sum(blocks[at : at + 512]) % 0o1000000)
    if rng.random() < 0.3:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = rng.choice((b"L", b"K", b"x", b"g")), 1
        blocks[:0] = (info.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511)) * 2000
    return bytes(blocks)


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def joined(rng: random.Random, data: bytes) -> bytes:
    """Bytes before or behind the archive, as in files of two kinds."""
    other = rng.choice(
        (b"\xff\xd8\xff\xe0JFIF", bytes(512), bytes(LIMIT // 4), data, b"PK\x05\x06")
    )
    return rng.choice((other + data, data + other))


DAMAGE: tuple[Callable[[random.Random, bytes], bytes], ...] = (flipped, cut, joined)


def prepare(folder: Path) -> Attack:
    del folder

    def attack(rng: random.Random, folder: Path) -> None:
        outside, target = folder / "outside", folder / "outside" / "into"
        target.mkdir(parents=True)
        (outside / "canary").write_text("sings")
        archive = folder / "archive"
        write = rng.choice((zip_archive, tar_archive))
        data = write(rng, entries(rng, str(outside)))
        if rng.random() < 0.4:
            data = rng.choice(DAMAGE)(rng, data)
        archive.write_bytes(data)
        try:
            with patch.object(budget, "MIN_LIMIT", LIMIT):
                unpack(archive, target)
            assert dataset_root(target, ("train", "val")).is_relative_to(target)
        finally:
            check(folder, data)

    return attack


def check(folder: Path, data: bytes) -> None:
    """Whether only plain files and folders were made, all of them in the folder."""
    outside, target = folder / "outside", folder / "outside" / "into"
    assert (outside / "canary").read_text() == "sings", "the canary is dead"
    assert sorted(outside.iterdir()) == [outside / "canary", target], "something is outside"
    assert sorted(folder.iterdir()) == [folder / "archive", outside], "something is outside"
    made = list(target.rglob("*"))
    assert all(not path.is_symlink() and (path.is_dir() or path.is_file()) for path in made)
    size = sum(path.stat().st_size for path in made if path.is_file())
    assert size <= max(LIMIT, budget.RATIO * len(data)), "more than the limit was written"


SUITES = (Suite("archives", 1_000, prepare),)
