"""What only the author of a model knows: a small YAML file beside a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from isotune.errors import SpecError
from isotune.spec.base import Meaning, SpecModel
from isotune.spec.load import read_yaml
from isotune.spec.messages import explain

LONGEST = 5_000
"""Maximum number of characters of a text."""

Text = Annotated[
    str,
    BeforeValidator(lambda text: " ".join(text.split()) if isinstance(text, str) else text),
    Field(min_length=1, max_length=LONGEST),
    Meaning(f"text of at most {LONGEST:,} characters"),
]
Identifier = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+/-]{0,95}$"),
    Meaning("an identifier of the Hugging Face Hub, such as apache-2.0 or mnist"),
]


class About(SpecModel):
    """What a card says in the author's words; null is unknown.

    Attributes:
        license: Identifier of the model's license on the Hugging Face Hub, such as
            ``apache-2.0``.
        intended_use: What the model is for.
        out_of_scope: What it is not for.
        risks: Risks and biases.
        limitations: Limitations besides those that follow from the run.
        data_source: Who collected the images, how and where.
        data_license: Under which terms they are used.
        datasets: Identifiers of the training dataset on the Hugging Face Hub.
    """

    license: Identifier | None = None
    intended_use: Text | None = None
    out_of_scope: Text | None = None
    risks: Text | None = None
    limitations: Text | None = None
    data_source: Text | None = None
    data_license: Text | None = None
    datasets: list[Identifier] = Field(default=[])


def read_about(path: str | Path | None) -> About:
    """Reads an author's file; without one, everything is unknown.

    Raises:
        SpecError: It cannot be read, or has another key or value.
    """
    if path is None:
        return About()
    document = read_yaml(Path(path))
    if not isinstance(document.data, dict):
        raise SpecError(f"{path}: should be a mapping with keys such as 'intended_use'.")
    try:
        return About.model_validate(document.data)
    except ValidationError as error:
        raise SpecError(*explain(error, document)) from error
