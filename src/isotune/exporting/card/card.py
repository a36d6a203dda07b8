"""Writes the model card of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isotune.errors import RunError, SpecError
from isotune.experiment.result import Run
from isotune.exporting.card.about import About, read_about
from isotune.exporting.card.document import Card
from isotune.exporting.card.facts import NOTHING, gather
from isotune.exporting.card.html import as_html
from isotune.exporting.card.markdown import as_markdown
from isotune.exporting.card.metadata import metadata
from isotune.exporting.card.sections import sections
from isotune.storage.atomic import write_atomically

RENDERERS: dict[str, Callable[[Card], str]] = {".md": as_markdown, ".html": as_html}
"""How a card becomes text, by the ending of its file."""


def write_card(
    run: Run,
    path: str | Path,
    *,
    about: str | Path | None = None,
    data: str | Path | None = None,
) -> Path:
    """Writes a model card of what is known of a run's model, and says what is not.

    The model is evaluated once, on the validation images. A file that is there is replaced.

    Args:
        run: The run.
        path: A ``.md`` or ``.html`` file. Markdown holds tables; HTML, which needs no network,
            adds figures if matplotlib is installed, and the images of the worst mistakes.
        about: A YAML file with what only the author knows: the fields of
            :class:`~isotune.exporting.card.about.About`. What it does not say is unknown.
        data: Folder of the dataset, if it is not where the spec says.

    Returns:
        The file's path.

    Raises:
        SpecError: The file's name has another ending, or `about` is wrong.
        DatasetError: The validation images are missing or broken.
        RunError: A file of the run is damaged, an output of the model is not finite, or the card
            cannot be written.
    """
    path = Path(path)
    render = RENDERERS.get(path.suffix.lower())
    if render is None:
        raise SpecError(f"{path}: a model card's name should end in {' or '.join(RENDERERS)}.")
    words = read_about(about)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, render(make_card(run, words, data)))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}.") from error
    return path


def make_card(run: Run, about: About = NOTHING, data: str | Path | None = None) -> Card:
    """Evaluates a run's model once and returns its card; arguments are :func:`write_card`'s."""
    facts = gather(run, data, about)
    return Card(run.spec.name, metadata(facts), sections(facts))
