"""The transforms of a spec. What each kind is: :mod:`isotune.data.transforms`, and plugins.

In YAML a pipeline is a list. An item is a name (``random_horizontal_flip``), a name with its
main option (``resize: 256``) or a name with several (``resize: {size: 256, max_size: 400}``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, SerializeAsAny, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from isotune.spec.base import Shorthand, SpecModel, model_registry, schema_reference

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Operation(Protocol):
    """A transform with its numbers drawn."""

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the transformed RGB image; does not change the given one."""


class TransformSpec(SpecModel):
    """A transform. Each kind is a subclass with a field ``name: Literal["..."] = "..."``.

    Attributes:
        main: Name of the option that may be given alone, as in ``resize: 256``; None if there is
            none.
        bare: Whether the transform's name alone is enough.
        random: Whether it draws numbers. One that does not is applied once per image, and the
            result may be cached.
    """

    main: ClassVar[str | None] = None
    bare: ClassVar[bool] = False
    random: ClassVar[bool] = True

    @property
    def inner(self) -> tuple[TransformSpec, ...]:
        """The transforms that this one applies, if it is around others."""
        return ()

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Operation:
        """Draws the transform's numbers for one image.

        Args:
            rng: The image's random stream. Use ``rng.random()`` only: NumPy promises its values
                for every version. None where `random` is False.
            size: (width, height) of the image, in pixels.

        Raises:
            DatasetError: The image is too small for the transform.
        """

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform, or None if it depends on the image.

        Args:
            size: (height, width) before the transform, or None if it depends on the image.
        """
        return size


TRANSFORMS = model_registry("transform", TransformSpec, "name")  # type: ignore[type-abstract]
"""All transforms."""


def _load(item: Any) -> TransformSpec:
    """Returns the transform that an item of YAML stands for.

    Raises:
        ValidationError: An option is wrong. As for any union, its location begins with the name.
    """
    if isinstance(item, TransformSpec):
        return item
    if isinstance(item, str):
        name, options = item, None
    elif isinstance(item, Mapping) and "name" in item:
        name, options = item["name"], {key: item[key] for key in item if key != "name"}
    elif isinstance(item, Mapping) and len(item) == 1:
        name, options = next(iter(item.items()))
    else:
        raise ValueError("should be 'NAME', 'NAME: VALUE' or 'NAME: {OPTION: VALUE, ...}'")
    kind = TRANSFORMS.find(name)
    if kind is None:
        raise ValueError(TRANSFORMS.unknown(name))
    if not isinstance(options, Mapping):
        if kind.main is None and not (options is None and kind.bare):
            raise ValueError(f"should be '{name}: {{OPTION: VALUE, ...}}'")
        if options is None and not kind.bare:
            raise ValueError(f"{name} needs its {kind.main}, as in '{name}: VALUE'")
        options = {} if options is None else {kind.main: options}
    loaded = TypeAdapter(dict[str, kind]).validate_python({name: {**options, "name": name}})  # type: ignore[valid-type]
    return loaded[name]


_ITEM = f"{__name__}.Transform:0"
_defining: ContextVar[bool] = ContextVar("_defining", default=False)
"""Whether the JSON Schema of an item is being made: a kind around others refers to it."""


class _ShortForms(Shorthand):
    """Annotation: a transform, by its name and in any of its forms."""

    def expand(self, value: Any) -> TransformSpec:
        """Returns the transform that an item of YAML stands for."""
        return _load(value)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        reference = core_schema.definition_reference_schema(_ITEM)
        if _defining.get():
            return handler(reference)
        token = _defining.set(True)
        try:
            metadata = {"pydantic_js_updates": _any_form(handler)}
        finally:
            _defining.reset(token)
        item = core_schema.any_schema(ref=_ITEM, metadata=metadata)
        return handler(core_schema.definitions_schema(reference, [item]))


def _any_form(handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Returns the JSON Schema of an item of a pipeline."""
    mappings, full = {}, []
    for name, kind in TRANSFORMS.items():
        reference = schema_reference(kind, handler)
        fields = handler.resolve_ref_schema(reference)["properties"]
        main = [fields[kind.main]] if kind.main is not None else []
        null = [{"type": "null"}] if kind.bare else []
        mappings[name] = {"anyOf": [*main, *null, reference]}
        full.append({"allOf": [reference], "required": ["name"]})
    bare = [name for name, kind in TRANSFORMS.items() if kind.bare]
    single = {
        "type": "object",
        "properties": mappings,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [{"enum": bare}, single, *full]}


def _as_pipeline(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError("should be a list of transforms")
    return tuple(value)


Transform = Annotated[SerializeAsAny[TransformSpec], _ShortForms("name")]
Pipeline = Annotated[tuple[Transform, ...], BeforeValidator(_as_pipeline)]
"""A list of transforms, applied in order; the short forms of YAML are accepted."""


NotEmpty = Annotated[Pipeline, Field(min_length=1)]
"""A pipeline of at least one transform."""


def output_size(
    pipeline: tuple[TransformSpec, ...], size: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """Returns the (height, width) in which every image ends, or None if it depends on the image.

    Args:
        pipeline: The transforms, in order.
        size: (height, width) before them, or None if it depends on the image.
    """
    for transform in pipeline:
        size = transform.output(size)
    return size


def last_of_unknown_size(pipeline: tuple[TransformSpec, ...]) -> int | None:
    """Returns the position of the last transform after which a known size depends on the image."""
    size, position = None, None
    for index, transform in enumerate(pipeline):
        before, size = size, transform.output(size)
        if before is not None and size is None:
            position = index
    return position


def flattened(pipeline: Iterable[TransformSpec]) -> Iterator[TransformSpec]:
    """Yields all transforms of a pipeline, each followed by those that it is around."""
    for transform in pipeline:
        yield transform
        yield from flattened(transform.inner)
