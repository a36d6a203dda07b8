"""What the service answers, as its OpenAPI page documents it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ClassProbability(BaseModel):
    """A class and how likely it is."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="class", examples=["bees"], description="Name of the class.")
    probability: float = Field(ge=0, le=1, examples=[0.987], description="In [0, 1].")


class ImageResult(BaseModel):
    """The predictions for an image, or why it cannot be read."""

    name: str = Field(
        examples=["garden.jpg"],
        description="Name of the file, or its position, such as images[0].",
    )
    labels: list[str] | None = Field(
        default=None,
        description="Where an image may have several labels: the classes whose probability reaches"
        " their threshold, the most likely one first.",
    )
    predictions: list[ClassProbability] | None = Field(
        default=None, description="The most likely classes, the most likely one first."
    )
    error: str | None = Field(default=None, description="Why the image cannot be read.")


class PredictResponse(BaseModel):
    """The results, in the order of the images."""

    results: list[ImageResult]


class HealthResponse(BaseModel):
    """Whether the service answers."""

    status: str = Field(examples=["ok"])


class Problem(BaseModel):
    """Why a request is refused."""

    detail: str = Field(description="One sentence: what is wrong, and what would be right.")


FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "Image files: JPEG, PNG, WebP and others.",
                    },
                    "top": {
                        "type": "integer",
                        "minimum": 1,
                        "default": 5,
                        "description": "Largest number of classes for each image.",
                    },
                },
            },
            "encoding": {"images": {"contentType": "image/*"}},
        }
    },
}
"""The body of ``POST /predict`` (OpenAPI 3.1, Request Body Object)."""

EXAMPLE = "curl -F images=@garden.jpg -F images=@roof.jpg -F top=2 http://127.0.0.1:8000/predict"
"""A call of ``POST /predict``."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The form is malformed.",
        401: "The token is missing or wrong.",
        403: "A page of another site made the request.",
        408: "The body came too slowly.",
        413: "A file or the request is too large, or there are too many images.",
        415: "The request is no form.",
        421: "The host's name is not this service's.",
        422: "A field is wrong, or no image can be read.",
        500: "The model failed.",
        503: "Too many requests wait; Retry-After says when to try again.",
    }.items()
}
"""Error responses."""
