"""Hostile image files: each is decoded or refused in one sentence, the same by every way in."""

from __future__ import annotations

import io
import logging
import os
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from hostile.harness import Attack, Suite
from isotune.data.decode import open_rgb
from isotune.data.folders import is_image
from isotune.data.inputs import InputSource
from isotune.data.integrity.check import clean
from isotune.data.sources.files import find_images
from isotune.data.sources.folder import FolderSource
from isotune.errors import DatasetError

LARGEST = (1 << 16, 1 << 31, 0xFFFFFFFF, 0x7FFFFFFF, 13_000, 30_000, 0, 1)

Draw = Callable[[random.Random, dict[str, bytes]], bytes]
"""Makes a hostile file from valid ones, which have their ending as the end of their name."""


def valid_images() -> dict[str, bytes]:
    """Returns tiny images of all formats and modes, by a name with their ending."""
    pixels = np.random.default_rng(0).integers(0, 256, (11, 13, 4), np.uint8)
    colors = Image.fromarray(pixels, "RGBA")
    images = {mode: colors.convert(mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK")}
    images["I;16"] = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    images["I"] = Image.fromarray(pixels[..., 0].astype(np.int32) * 65537)
    images["F"] = Image.fromarray(pixels[..., 0].astype(np.float32))
    exif = Image.Exif()
    exif[0x112], exif[0x10E] = 6, "words" * 9
    many = {"save_all": True, "append_images": [images["RGB"].rotate(180)]}
    options: dict[str, dict[str, object]] = {
        "jpg": {"exif": exif, "icc_profile": b"profile" * 9, "comment": b"words"},
        "jpeg": {"progressive": True},
        "mpo": many,
        "png": {"exif": exif, "icc_profile": b"profile" * 9},
        "apng": many,
        "bmp": {},
        "dib": {},
        "gif": many,
        "ppm": {},
        "pgm": {},
        "pbm": {},
        "tif": {"exif": exif},
        "tiff": {"compression": "tiff_lzw", **many},
        "webp": {"exif": exif, "lossless": True, **many},
        "avif": {"exif": exif},
        "jp2": {},
    }
    formats = {"jpg": "JPEG", "jpeg": "JPEG", "apng": "PNG", "tif": "TIFF", "jp2": "JPEG2000"}
    formats |= {"pgm": "PPM", "pbm": "PPM", "tiff": "TIFF"}
    files = {}
    for ending, option in options.items():
        for mode, image in images.items():
            file = io.BytesIO()
            try:
                image.save(file, formats.get(ending, ending.upper()), **option)
            except (OSError, ValueError, KeyError, TypeError, UnboundLocalError):
                continue  # the format has no such mode; the last is Pillow 12's, for APNG
            files[f"{mode}.{ending}"] = file.getvalue()
    return files


def flipped(rng: random.Random, files: dict[str, bytes]) -> bytes:
    data = bytearray(any_file(rng, files))
    for _ in range(rng.choice((1, 2, 5, 30))):
        data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
    return bytes(data)


def cut(rng: random.Random, files: dict[str, bytes]) -> bytes:
    data = any_file(rng, files)
    return data[: rng.randrange(len(data))] + rng.choice((b"", b"\xff\xd9", bytes(99)))


def spliced(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """The head of one file, and the tail of another or of the same."""
    one, other = any_file(rng, files), any_file(rng, files)
    return one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :]


def stuffed(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """A piece of the file repeated, or noise put into it."""
    data = any_file(rng, files)
    begin = rng.randrange(len(data))
    piece = data[begin : begin + rng.randrange(1, 200)] * rng.choice((1, 50, 2000))
    return data[:begin] + rng.choice((piece, rng.randbytes(300))) + data[begin:]


def renumbered(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """Sizes, counts and offsets, most of which are near the beginning, set to extremes."""
    data = bytearray(any_file(rng, files))
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(("<H", ">H", "<I", ">I"))
        at = rng.randrange(min(len(data) - 4, rng.choice((40, 200, 5000))))
        value = rng.choice((*LARGEST, rng.randrange(1 << 16)))
        struct.pack_into(kind, data, at, value % (1 << 8 * struct.calcsize(kind)))
    return bytes(data)


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """A PNG image whose checksums are right, whatever it says."""
    del files
    width, height = (rng.choice((1, 8, 600, 13_000, 1 << 31, 0xFFFFFFFF)) for _ in range(2))
    depth, color = rng.choice((1, 2, 4, 8, 16, 99)), rng.choice((0, 2, 3, 4, 6, 7))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, rng.choice((0, 1, 9)))
    bomb = zlib.compress(bytes(rng.choice((10, 1 << 20, 8 << 20))))
    extra = {
        "text": chunk(b"zTXt", b"a\0\0" + bomb),
        "international": chunk(b"iTXt", b"a\0\1\0\0\0" + bomb),
        "profile": chunk(b"iCCP", b"a\0\0" + bomb),
        "palette": chunk(b"PLTE", bytes(rng.choice((3, 768, 1, 3000)))),
        "transparency": chunk(b"tRNS", bytes(rng.choice((0, 1, 2, 6, 300)))),
        "exif": chunk(b"eXIf", rng.choice((exif(rng), bytes(1 << 20)))),
        "animation": chunk(b"acTL", struct.pack(">II", rng.choice((0, 2, 0xFFFFFFFF)), 0)),
        "frame": chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 9, 9, 0, 0, 9, 9)),
        "many": chunk(b"tEXt", b"a\0b") * 5000,
    }
    chunks = [chunk(b"IHDR", header)]
    chunks += [extra[name] for name in rng.sample(sorted(extra), rng.randrange(4))]
    chunks += [chunk(b"IDAT", bomb), chunk(b"IEND", b"")]
    if rng.random() < 0.2:
        rng.shuffle(chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exif(rng: random.Random) -> bytes:
    """An EXIF block whose entries point anywhere, at itself too."""
    entries = [
        struct.pack(
            "<HHII",
            rng.choice((0x112, 0x8769, 0x8825, 0x14A, rng.randrange(1 << 16))),
            rng.randrange(14),
            rng.choice((1, 2, 100, 0xFFFFFFFF)),
            rng.choice((8, 3, 6, 0xFFFFFFFF, rng.randrange(300))),
        )
        for _ in range(rng.choice((1, 3, 400)))
    ]
    count = rng.choice((len(entries), 0xFFFF, 0))
    after = struct.pack("<I", rng.choice((0, 8)))
    return struct.pack("<2sHIH", b"II", 42, 8, count) + b"".join(entries) + after


def jpeg(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """A JPEG image with other sizes, and with segments before its own."""
    data = bytearray(files[rng.choice(("RGB.jpg", "L.jpg", "CMYK.jpg", "RGB.jpeg"))])
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    for at in (frame + 5, frame + 7):
        if rng.random() < 0.5:
            struct.pack_into(">H", data, at, rng.choice((0, 1, 300, 6000, 65_535)))
    block = b"Exif\0\0" + exif(rng)
    segments = {
        "exif": b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block,
        "comments": (b"\xff\xfe\0\x06word") * 3000,
        "profile": b"\xff\xe2\0\x20ICC_PROFILE\0\xff\xff" + bytes(16),
        "pictures": b"\xff\xe2\0\x20MPF\0II*\0\x08\0\0\0" + bytes(18),
        "adobe": b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x09",
        "photoshop": b"\xff\xed\0\x20Photoshop 3.0\x008BIM" + bytes(13),
        "restart": b"\xff\xdd\0\x04\xff\xff",
        "fill": b"\xff" * 5000,
    }
    chosen = rng.sample(sorted(segments), rng.randrange(3))
    if data.find(b"\xff\xc2") == frame and rng.random() < 0.3:
        data[-2:-2] = data[data.rindex(b"\xff\xda") : -2] * 3000
    return bytes(data[:2]) + b"".join(segments[name] for name in chosen) + bytes(data[2:])


def tiff(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """A TIFF image whose tags say anything; its directories may form a ring."""
    tags = {256: 13, 257: 11, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 11, 279: 143}
    for tag in rng.sample((*tags, 254, 266, 284, 317, 320, 322, 323, 338, 339, 34675), 3):
        tags[tag] = rng.choice((*LARGEST, 2, 3, 5, 7, 8, 16, 32, 34712, 32946, 50000))
    entries = [
        struct.pack("<HHII", tag, rng.choice((3, 4, 4, 4, 12, 16)), rng.choice((1, 1, 1, 9)), value)
        for tag, value in sorted(tags.items())
    ]
    start = 8 + 143
    after = struct.pack("<I", rng.choice((0, start, 8, 0xFFFFFFFF)))
    content = zlib.compress(bytes(1 << 16)) + bytes(143)
    head = struct.pack("<2sHI", b"II", rng.choice((42, 42, 42, 43)), start)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + after
    del files
    return head + content[:143] + directory + content


def solid(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """A large image of a single color, which takes few bytes in any format."""
    del files
    side = rng.choice((500, 1000, 2000))
    file = io.BytesIO()
    kind = rng.choice(("PNG", "GIF", "WEBP", "TIFF", "JPEG", "JPEG2000"))
    option = {"TIFF": {"compression": "tiff_adobe_deflate"}, "WEBP": {"lossless": True}}
    Image.new("L", (side, side)).save(file, kind, **option.get(kind, {}))
    return file.getvalue()


def other_kind(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """Formats that Pillow knows and Isotune must not open, and files of two kinds at once."""
    file, image = io.BytesIO(), Image.new("RGB", (16, 16))
    kind = rng.choice(("ICO", "ICNS", "EPS", "PDF", "TGA", "PCX", "SGI", "IM", "QOI", "MSP"))
    (image.convert("1") if kind == "MSP" else image).save(file, kind)
    foreign = rng.choice(
        (
            file.getvalue(),
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
            b"P6 99999 99999 255 ",
            b"P5\n#" + b"x" * 9999,
            b"P" + rng.choice(b"01234567fFy").to_bytes(1, "big") + b" 3 3 65536 " + bytes(99),
            b"GIF89a/*\xff\xff\xff\xff*/=1;",
            b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff" * 6,
            b"\0\0\0\x18ftyp" + rng.choice((b"avif", b"heic", b"mif1")) + bytes(16),
            b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
            b"\xff\x4f\xff\x51" + rng.randbytes(60),
            b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 1 << 30, -1, 1, 32, 3) + bytes(40),
            b"PK\x03\x04" + bytes(40),
            b"",
        )
    )
    mine = any_file(rng, files)
    return rng.choice((foreign, mine + foreign, foreign + mine))


def any_file(rng: random.Random, files: dict[str, bytes]) -> bytes:
    return files[rng.choice(sorted(files))]


DRAWS: tuple[Draw, ...] = (
    *(flipped, cut, spliced, stuffed, renumbered),
    *(png, jpeg, tiff, solid, other_kind),
)


def prepare(folder: Path) -> Attack:
    files = valid_images()
    sound = folder / "sound.png"
    Image.new("RGB", (8, 8)).save(sound)
    for name in ("PIL", "isotune"):
        logging.getLogger(name).addHandler(logging.NullHandler())

    def attack(rng: random.Random, folder: Path) -> None:
        data = rng.choice(DRAWS)(rng, files)
        ending = rng.choice(sorted(files)).rpartition(".")[2]
        path = folder / "train" / "a" / f"1.{ending}"
        for name in ("a", "b"):
            (folder / "train" / name).mkdir(parents=True)
        (folder / "train" / "b" / "2.png").write_bytes(sound.read_bytes())
        path.write_bytes(data)
        assert is_image(path.name)
        with warnings.catch_warnings(), patch.dict(os.environ, ISOTUNE_HOME=str(folder / "home")):
            warnings.simplefilter("ignore")
            take(folder, path)

    return attack


def take(folder: Path, path: Path) -> None:
    """Has every way in read the image, and checks that they agree."""
    refusal = None
    try:
        image = open_rgb(path)
        assert image.mode == "RGB"
        assert len(image.tobytes()) == image.width * image.height * 3
    except DatasetError as error:
        refusal = error
    source = FolderSource(folder, "train")
    _, broken = clean(source, "skip") if refusal is None else (source, [])
    assert not broken, f"it is decoded, but the check says {broken[0].reason}"
    assert find_images([folder / "train" / "a"]) == [path]
    if refusal is None:
        assert InputSource([path], ("a",)).load(0).tobytes() == image.tobytes()
        return
    assert str(path) in str(refusal)
    try:
        clean(source, "error")
    except DatasetError:
        raise refusal from None
    raise AssertionError(f"the check finds nothing, but {refusal}")


SUITES = (Suite("images", 2_000, prepare),)
