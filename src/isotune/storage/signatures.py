"""Says what a file of the wrong kind seems to be, by its first bytes."""

from __future__ import annotations

import re

HEAD = 1024
"""Number of bytes from which a kind is recognized."""

TEXTS = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with 'git lfs pull'"),
    (b"<!doctype html", "an HTML page, perhaps an error message saved by a download"),
    (b"<html", "an HTML page, perhaps an error message saved by a download"),
    (b"<?xml", "an XML document, perhaps an error message saved by a download"),
    (b"<", "an HTML or XML page, perhaps an error message saved by a download"),
    (b"{", "a JSON document"),
    (b"model_checkpoint_path:", "the list of TensorFlow's checkpoints, not one of them"),
    (b"%pdf", "a PDF document"),
)
"""First bytes of kinds of text, in lower case, with descriptions."""

SHARDS = (
    "the index of a checkpoint that is divided into several files, named in its 'weight_map'; join"
    " their tensors in one file"
)

BINARIES = (
    (re.compile(rb"\x1f\x8b"), "a gzip archive; unpack it first"),
    (re.compile(rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd"), "a compressed file; unpack it first"),
    (re.compile(rb"7z\xbc\xaf|Rar!"), "an archive; unpack it first"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive; unpack it first"),
    (re.compile(rb"\x89HDF"), "an HDF5 file, such as those of TensorFlow and Keras (.h5)"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array"),
    (re.compile(rb".{4}TFL3", re.DOTALL), "a TensorFlow Lite model"),
    (re.compile(rb"\x08\x01\x12.{0,4}\x0a", re.DOTALL), "a TensorFlow SavedModel"),
    (
        re.compile(rb"\x0a.{1,5}\x0a.{1,99}?\x12.(Placeholder|Const|NoOp|Var\w+)", re.DOTALL),
        "a TensorFlow graph",
    ),
    (re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]"), "an ONNX model"),
    (re.compile(rb"\x0a[\x03-\x0a]\d+\.\d+\.\d+\x12"), "a MindIR model of MindSpore"),
    (re.compile(rb"[\x80-\x8f](.{0,3}|\xa9.{9})\xa6params", re.DOTALL), "a Flax checkpoint"),
    (re.compile(rb"GGUF"), "a GGUF file"),
    (re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8"), "an image"),
)
"""Patterns at the beginning of other kinds of files, with descriptions."""


def text_kind(head: bytes) -> str | None:
    """Returns what kind of text a file seems to be, as servers send it in place of a file."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"{") and b'"weight_map"' in start:
        return SHARDS
    return next((kind for magic, kind in TEXTS if start.startswith(magic)), None)


def binary_kind(head: bytes) -> str | None:
    """Returns what kind of other file it seems to be, or None."""
    return next((kind for pattern, kind in BINARIES if pattern.match(head)), None)


def describe(head: bytes) -> str:
    """Returns what a file seems to be, as in "it looks like an HTML page".

    Args:
        head: The first :data:`HEAD` bytes, or the whole of a smaller file.
    """
    if not head:
        return "it is empty"
    kind = text_kind(head) or binary_kind(head)
    return f"it looks like {kind}" if kind else "its first bytes belong to no known format"
