"""Where a model is cut: before its classifier, if nothing there changes while that trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from isotune.errors import SpecError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter, is_under
from isotune.spec.cache import CacheSpec


@dataclass(frozen=True)
class Cut:
    """The classifier of a model, and what comes before it.

    Attributes:
        path: Canonical path of the classifier.
        before: Canonical names of all tensors outside the classifier.
        never: Why the backbone cannot be cut there, or None if it can.
    """

    path: str
    before: frozenset[str]
    never: str | None = None

    @classmethod
    def of(cls, entry: BackboneEntry, names: Iterable[str]) -> Cut:
        """Returns the cut of a model with tensors of these canonical `names`."""
        path, never = entry.classifier_block, None
        if entry.convolutional:
            never = f"'{path}' classifies each place of the maps, before they are pooled"
        if entry.dropout:
            never = f"'{entry.dropout}' drops features at random before '{path}'"
        return cls(path, frozenset(n for n in names if not is_under(path, n)), never)

    def obstacle(self, plan: FreezePlan) -> str | None:
        """Returns why the layers before the classifier cannot run apart from it, or None."""
        if self.never:
            return self.never
        parameters = {name for name in self.before if is_parameter(name)}
        if not parameters:
            return f"the model has no parameters before '{self.path}'"
        if training := sorted(parameters - plan.frozen):
            return f"{training[0]} trains, which comes before '{self.path}'"
        if plan.batch_norm == "train" and self.before - parameters:
            return "freeze.batch_norm is 'train', so that each step changes what follows"
        return None

    def inside(self, plan: FreezePlan) -> FreezePlan:
        """Returns the part of a freeze plan that concerns the classifier."""
        return FreezePlan(plan.frozen - self.before, plan.batch_norm)


def check_views(cache: CacheSpec, obstacle: str | None) -> None:
    """Checks that a number of views has an effect.

    Raises:
        SpecError: features cannot be cached, so there are no views to count.
    """
    if cache.views is not None and obstacle is not None:
        raise SpecError(
            f"cache.views: is {cache.views}, but features cannot be cached: {obstacle}."
            " Leave it out, or freeze the whole backbone."
        )
