from __future__ import annotations

import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
import PIL
import pytest
from PIL import ExifTags, Image, ImageFile, ImageOps

from isotune.data import decode, folders, identify
from isotune.data.decode import decode_preview, open_rgb, to_rgb
from isotune.data.workers import Room
from isotune.errors import DatasetError


def colors(mode: str) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 7, 4), dtype=np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def palette(transparency: Any) -> Image.Image:
    image = colors("RGB").quantize(16)
    image.info["transparency"] = transparency
    return image


IMAGES = {
    "1-bit.png": colors("1"),
    "gray.jpg": colors("L"),
    "gray-alpha.png": colors("LA"),
    "palette.png": colors("P"),
    "palette-one-clear.png": palette(3),
    "palette-alpha.png": palette(bytes(range(0, 160, 10))),
    "rgb.bmp": colors("RGB"),
    "rgba.webp": colors("RGBA"),
    "cmyk.jpg": colors("CMYK"),
    "animation.gif": colors("P"),
    "lab.tif": colors("LAB"),
    "rgb.jp2": colors("RGB"),
    "rgb.avif": colors("RGB"),
    "rgb.jfif": colors("RGB"),
    "1-bit.pbm": colors("1"),
}
if int(PIL.__version__.partition(".")[0]) >= 13:  # 12 cannot read what it writes
    IMAGES["ycbcr.tif"] = colors("YCbCr")


@pytest.mark.parametrize("name", IMAGES)
def test_every_mode_becomes_rgb_as_pillow_converts_it(name: str, tmp_path: Path) -> None:
    IMAGES[name].save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = open_rgb(tmp_path / name)
    with warnings.catch_warnings(), Image.open(tmp_path / name) as image:
        warnings.simplefilter("ignore")
        theirs = ImageOps.exif_transpose(image).convert("RGB")
    assert ours.mode == "RGB"
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "I;16B", "HSV", "YCbCr", "LAB"])
def test_rarer_modes_become_rgb_too(mode: str) -> None:
    assert to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def deep(name: str, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Writes grayscale of 16 bits, or 12, and returns its levels as parts of 65536."""
    levels = np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(30, 40)
    path = tmp_path / name
    match name:
        case "big-endian.tif":
            Image.fromarray(levels.astype(">u2")).save(path)
        case "white-is-zero.tif":
            Image.fromarray(65535 - levels).save(path, tiffinfo={262: 0})
        case "12-bit.tif":
            path.write_bytes(tiff_of_12_bits(levels >> 4))
        case "levels.pgm":
            path.write_bytes(b"P5 40 30 65535\n" + levels.astype(">u2").tobytes())
        case _:
            Image.fromarray(levels).save(path)
    return path, levels


def tiff_of_12_bits(levels: np.ndarray) -> bytes:
    bits = np.unpackbits(levels.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    pixels = np.packbits(bits.reshape(levels.shape[0], -1), axis=1).tobytes()
    height, width = levels.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags[279] = len(pixels)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = 8 + len(pixels)
    return (
        struct.pack("<2sHI", b"II", 42, start) + pixels + struct.pack("<H", 9) + entries + b"\0" * 4
    )


DEEP = [
    "a.png",
    "a.tif",
    "big-endian.tif",
    "white-is-zero.tif",
    "12-bit.tif",
    "levels.pgm",
    "a.jp2",
]


@pytest.mark.parametrize("name", DEEP)
def test_deep_grayscale_keeps_its_upper_eight_bits(name: str, tmp_path: Path) -> None:
    path, levels = deep(name, tmp_path)
    gray = np.asarray(open_rgb(path))
    assert (gray == (levels >> 8).astype(np.uint8)[..., None]).all()
    assert open_rgb(path).size == (40, 30)


def test_deep_grayscale_is_that_of_torchvision(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    io = pytest.importorskip("torchvision.io")
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    path, _ = deep("a.png", tmp_path)
    theirs = io.decode_image(str(path), mode=io.ImageReadMode.RGB)
    theirs = functional.to_dtype(theirs, torch.uint8, scale=True)
    assert (np.asarray(open_rgb(path)) == theirs.numpy().transpose(1, 2, 0)).all()


def test_deep_grayscale_is_that_of_mindspore(tmp_path: Path) -> None:
    vision = pytest.importorskip("mindspore.dataset.vision")
    path, _ = deep("a.png", tmp_path)
    theirs = vision.Decode()(np.fromfile(path, np.uint8))
    assert (np.asarray(open_rgb(path)) == theirs).all()


def test_deep_color_keeps_its_upper_eight_bits(tmp_path: Path) -> None:
    pixels = np.array([[[0, 255, 256], [30000, 65535, 65279]]], ">u2")
    rows = zlib.compress(b"\0" + pixels.tobytes())
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join([chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")])
    )
    assert np.asarray(open_rgb(tmp_path / "a.png")).tolist() == (pixels >> 8).tolist()


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_levels_without_a_white_are_refused(dtype: str, tmp_path: Path) -> None:
    levels = np.array([[0, 77, 255]], dtype)
    image = Image.fromarray(levels.astype("int32") if dtype == "int16" else levels)
    image.save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match=r"a\.tif: .* levels are .*; save it with 8 or 16 bits"):
        open_rgb(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="levels are"):
        to_rgb(image)


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "avif", "tif"])
def test_the_first_of_several_images_counts(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (level, level, level)) for level in (40, 140, 240)]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / f"a.{ending}") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
    pixels = np.asarray(open_rgb(tmp_path / f"a.{ending}")).astype(int)
    assert (abs(pixels - 40) <= 2).all()


@pytest.mark.parametrize("orientation", range(10))
def test_images_are_set_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    colors("RGB").save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        theirs = ImageOps.exif_transpose(image)
    ours = open_rgb(tmp_path / "a.png")
    assert ours.size == theirs.size
    assert ours.tobytes() == theirs.tobytes()


ORIENTED = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + b"\x12\x01\3\0\1\0\0\0\6\0\0\0" * 2 + bytes(4)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("exif", "told"),
    [
        (b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense", True),
        (b"Exif\0\0XX", True),
        (ORIENTED[:-28], True),
        (ORIENTED[:-16], False),  # the orientation is there, what follows is cut off
        (ORIENTED, False),
    ],
)
def test_a_damaged_exif_block_is_told_and_the_image_read(
    exif: bytes, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jpg"
    colors("RGB").save(path, exif=exif)
    for _ in range(2):
        assert open_rgb(path).size == ((7, 6) if told else (6, 7))
    line = f"{path}: its EXIF block is damaged, so the image may not be upright"
    assert caplog.messages == ([line] if told else [])


def broken_files() -> dict[str, bytes]:
    jpeg, png = BytesIO(), BytesIO()
    colors("RGB").resize((64, 64)).save(jpeg, "JPEG")
    colors("RGB").resize((64, 64)).save(png, "PNG")
    flipped = bytearray(png.getvalue())
    flipped[60] ^= 255
    return {
        "truncated.jpg": jpeg.getvalue()[:-40],
        "truncated.png": png.getvalue()[:-40],
        "damaged.png": bytes(flipped),
        "text.jpg": b"this is no image",
        "empty.jpg": b"",
    }


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_file_is_one_error_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(broken_files()[name])
    with pytest.raises(DatasetError) as error:
        open_rgb(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"B", "it is not an image of any known format"),
        (b"P", "it is not an image of any known format"),
        (b"\x89PNG\r\n\x1a\n" + b"?" * 20, "it begins like PNG, but: broken PNG file"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "it begins like TIFF, but: "),
    ],
)
def test_what_a_file_begins_as_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_rgb(tmp_path / "a.jpg")


def test_a_file_that_is_empty_or_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"empty\.jpg: .* as an image: it is empty\."):
        open_rgb(tmp_path / "empty.jpg")
    with pytest.raises(DatasetError, match="no such file"):
        open_rgb(tmp_path / "gone.jpg")


def test_only_its_own_limit_of_pixels_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    colors("RGB").save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_rgb(path, 42).size == (7, 6)
    with pytest.raises(DatasetError, match="its 7 x 6 pixels are more than 41, the value of data"):
        open_rgb(path, 41)


def test_images_that_take_far_too_long_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, count = tmp_path / "a.tif", 20
    tags = {256: (1, 1), 257: (1, count), 258: (1, 8), 259: (1, 1), 262: (1, 1)}
    tags |= {273: (count, 8), 277: (1, 1), 278: (1, 1), 279: (count, 8)}
    entries = b"".join(struct.pack("<HHII", tag, 4, *value) for tag, value in tags.items())
    body = struct.pack("<I", 8) * count
    start = struct.pack("<2sHI", b"II", 42, 8 + len(body))
    path.write_bytes(start + body + b"\x09\0" + entries + bytes(4))
    assert open_rgb(path).size == (1, 20)
    monkeypatch.setattr(identify, "_TILES", 19)
    with pytest.raises(DatasetError, match="its 20 strips or tiles are more than 19"):
        open_rgb(path)
    path.write_bytes(png(1, (1 << 20) + 1))
    with pytest.raises(DatasetError, match="side of 1048577 pixels is longer than 1048576"):
        open_rgb(path)


def test_a_jpeg_image_of_endless_scans_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    colors("RGB").save(path, progressive=True)
    content = path.read_bytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    monkeypatch.setattr(identify, "_SCANNED", 0)
    path.write_bytes(content[:-2] + last * 22 + content[-2:])
    assert open_rgb(path).size == (7, 6)
    path.write_bytes(content[:-2] + last * 23 + content[-2:])
    with pytest.raises(DatasetError, match="its 33 progressive scans are more than"):
        open_rgb(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_huge_jpeg_image_is_decoded_at_a_fraction(
    progressive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    smooth = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    smooth.save(path, quality=95, progressive=progressive, exif=exif)
    full = open_rgb(path)
    assert full.size == (64, 96)
    for limit, size in ((6144, (64, 96)), (6143, (32, 48)), (400, (16, 24)), (95, (8, 12))):
        monkeypatch.setattr(decode, "FULL_SIZE", limit)
        image = open_rgb(path)
        assert image.size == size
        off = np.asarray(image, int) - np.asarray(full.resize(size, Image.Resampling.BOX), int)
        assert abs(off).mean() < 3


def test_threads_decode_only_so_many_pixels_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colors("RGB").save(tmp_path / "a.png")
    held, most, lock = 0, 0, threading.Lock()

    def count(image: Image.Image, name: str) -> Image.Image:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        result = to_rgb(image, name)
        with lock:
            held -= 1
        return result

    monkeypatch.setattr(decode, "to_rgb", count)
    monkeypatch.setattr(decode, "ROOM", Room(2 * 8 * 42, small=8 * 42))
    with ThreadPoolExecutor(8) as threads:
        paths = [tmp_path / "a.png"] * 64
        assert all(image.size == (7, 6) for image in threads.map(open_rgb, paths))
    assert most <= 2
    monkeypatch.setattr(decode, "ROOM", Room(10, small=5))  # it has the room alone
    assert open_rgb(tmp_path / "a.png").size == (7, 6)


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return len(content).to_bytes(4, "big") + body + crc32(body).to_bytes(4, "big")


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it is that large, and has ten bytes of pixels."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(bytes(10)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, pixels, chunk(b"IEND", b"")]
    )


def resized(name: str, offset: int, field: bytes, after: bytes = b"") -> bytes:
    """A small image whose header says another size, `offset` bytes behind the end of `after`."""
    file = BytesIO()
    colors("RGB").save(file, name)
    content = bytearray(file.getvalue())
    offset += content.index(after) + len(after)
    content[offset : offset + len(field)] = field
    return bytes(content)


BOMB = zlib.compress(bytes(80 << 20))
LIES = {
    "wide.png": png(1 << 31, 1 << 31),
    "large.png": png(60_000, 60_000),
    "larger-than-its-data.png": png(500, 500),
    "no-size.png": png(0, 5),
    "text-bomb.png": png(1, 3, chunk(b"zTXt", b"a\0\0" + BOMB)),
    "international-text-bomb.png": png(1, 3, chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
    "profile-bomb.png": png(1, 3, chunk(b"iCCP", b"a\0\0" + BOMB)),
    "large.bmp": resized("BMP", 18, (1 << 30).to_bytes(4, "little")),
    "larger-than-its-data.bmp": resized("BMP", 18, (700).to_bytes(4, "little") * 2),
    "larger-than-its-data.jpg": resized("JPEG", 3, (6000).to_bytes(2, "big") * 2, b"\xff\xc0"),
    "large.gif": resized("GIF", 6, b"\xff\xff\xff\xff"),
    "large.ppm": b"P6 99999 99999 255 abc",
    "larger-than-its-data.ppm": b"P6 500 500 255 abc",
    "program.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_one_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(LIES[name])
    with pytest.raises(DatasetError) as error:
        open_rgb(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: cannot be read as an image: ")
    assert "\n" not in str(error.value)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.fixture
def heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ModuleType | None], None]]:
    """Installs a module as pillow-heif, or lets it be missing."""

    def install(module: ModuleType | None) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", module)
        identify._heif.cache_clear()
        folders.endings.cache_clear()

    yield install
    monkeypatch.undo()
    identify._heif.cache_clear()
    folders.endings.cache_clear()


def test_heif_images_need_a_package(
    tmp_path: Path, heif: Callable[[ModuleType | None], None]
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(HEIC)
    heif(None)
    with pytest.raises(DatasetError, match=r"a\.jpg: .* HEIF image, .* pip install pillow-heif"):
        open_rgb(path)
    registered = dict(Image.OPEN)

    class HeifImageFile(ImageFile.ImageFile):
        def _open(self) -> None:
            self._size, self._mode = (3, 2), "RGB"
            self.tile = [ImageFile._Tile("raw", (0, 0, 3, 2), 0, "RGB")]

    module = ModuleType("pillow_heif")
    module.__spec__ = ModuleSpec("pillow_heif", None)
    module.HeifImageFile = HeifImageFile  # type: ignore[attr-defined]
    heif(module)
    assert open_rgb(path).tobytes() == HEIC[:18]
    assert folders.is_image("photo.HEIC")
    assert registered == Image.OPEN  # Pillow's own registry is the caller's


@pytest.mark.parametrize(("kind", "decoded"), [("JPEG", (120, 160)), ("PNG", (240, 320))])
def test_a_preview_is_upright_and_knows_the_size_of_the_whole(
    kind: str, decoded: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = BytesIO()
    Image.effect_noise((320, 240), 90).save(file, kind, exif=exif)
    image, size = decode_preview(file, "a file", side=64)
    assert image.mode == "RGB"
    assert (image.size, size) == (decoded, (240, 320))


def test_a_preview_reads_all_data_of_a_file() -> None:
    file = BytesIO()
    Image.effect_noise((320, 240), 90).save(file, "JPEG")
    file.truncate(file.tell() - 400)
    with pytest.raises(DatasetError, match=r"a file: cannot be read as an image: .*truncated"):
        decode_preview(file, "a file", side=8)
