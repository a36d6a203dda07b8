"""A certificate as Markdown, and in short for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice

from isotune.equivalence.certificates.certificate import Certificate, Compared, ComparedStep, Place
from isotune.equivalence.certificates.wording import (
    cause_sentence,
    excess,
    own_drift,
    place_name,
    place_sentence,
    predictions_sentence,
    side_names,
    verdict_sentence,
)
from isotune.equivalence.traces.trace import STAGES, Side
from isotune.exporting.card.document import Block, Facts, Items, Paragraph, Rows, Section
from isotune.exporting.card.markdown import escaped, sections_markdown
from isotune.printable import printable
from isotune.reports.numbers import NONE, count, significant
from isotune.reports.tables import Table

WORST, FLIPS = 20, 20
"""Largest numbers of values and of predictions in a table."""


def certificate_markdown(certificate: Certificate, figure: str | None = None) -> str:
    """Returns a certificate as a page of Markdown.

    Args:
        certificate: The certificate.
        figure: Name of the figure's file beside the page; None without one.
    """
    first, second = side_names(certificate.sides)
    verdict = escaped(verdict_sentence(certificate))
    parts = [
        f"# {escaped(f'Certificate: {first} and {second}')}",
        f"**{certificate.verdict.capitalize()}.** {verdict}",
    ]
    if figure is not None:
        parts.append(f"![Differences by depth]({figure})")
    made = (
        _place(certificate),
        _sides(certificate),
        _checks(certificate),
        _worst(certificate),
        _drift(certificate),
        _predictions(certificate),
        _notes(certificate),
    )
    parts += sections_markdown([section for section in made if section is not None])
    return "\n\n".join(parts) + "\n"


def certificate_text(certificate: Certificate) -> str:
    """Returns a certificate in short, as printable lines."""
    lines = [f"{certificate.verdict.capitalize()}. {verdict_sentence(certificate)}"]
    if certificate.place is not None:
        lines += _both_sides(certificate.place)
    for name, side in zip(("first side", "second side"), certificate.sides, strict=True):
        lines.append(f"{name}: {_in_short(side)}")
    lines.append(f"start: {'the same' if certificate.same_start else 'not the same'}")
    for step in certificate.steps:
        batch = "the same batch" if step.same_batch else "not the same batch"
        lines.append(f"step {step.step}: {batch}; {_agreement(step.values)}")
    if certificate.predictions is not None:
        lines.append(f"predictions: {predictions_sentence(certificate.predictions)}")
    if certificate.others:
        more = [place_name(place) for place in islice(certificate.others, 5)]
        lines.append(f"further places: {', '.join(more)}")
    lines += [f"note: {note}" for note in certificate.notes]
    return "\n".join(map(printable, lines))


def place_text(place: Place) -> str:
    """Returns a place in a few printable lines: where, both sides' settings and summaries."""
    return "\n".join(map(printable, [place_sentence(place), *_both_sides(place)]))


def _both_sides(place: Place) -> list[str]:
    """Returns lines with both sides' settings and summaries."""
    lines = []
    for title, pair in (("settings", place.settings), ("values", place.summaries)):
        for number, side in enumerate(pair or (), 1):
            facts = "; ".join(f"{name} {_shown(value)}" for name, value in side.items())
            lines.append(f"  {title} of side {number}: {facts}")
    return lines


def _agreement(values: tuple[Compared, ...]) -> str:
    if not values:
        return "no values are compared"
    agreeing = sum(value.agrees for value in values)
    worst = max(values, key=excess)
    return (
        f"{agreeing:,} of {len(values):,} values agree; the worst is '{worst.key}', which differs"
        f" by {significant(worst.difference, 2)}, with {significant(worst.allowed, 2)} allowed"
    )


def _in_short(side: Side) -> str:
    versions = (f"{name} {version}" for name, version in side.versions.items())
    compiled = ["compiled"] if side.compile else []
    many = [count(side.processes, "process", "processes")] if side.processes > 1 else []
    threads = [count(side.threads, "thread")] if side.threads else []
    return ", ".join([side.label, side.precision, *compiled, *many, *threads, *versions])


def _sides(certificate: Certificate) -> Section:
    table = Table(["", "first side", "second side"], ["left", "left", "left"])
    one, other = certificate.sides
    for field in ("backend", "device", "precision", "compile", "processes", "threads"):
        table.add(field, *(_shown(getattr(side, field)) for side in (one, other)))
    for first, second in ((one.versions, other.versions), (one.machine, other.machine)):
        for name in dict.fromkeys(chain(first, second)):
            table.add(name, first.get(name, NONE), second.get(name, NONE))
    return Section("Sides", [Rows(table, "Who was compared")])


def _checks(certificate: Certificate) -> Section:
    columns = ["check", "result", "compared", "worst value", "difference", "allowed"]
    table = Table(columns, ["left", "left", "right", "left", "right", "right"])
    table.add("start", "the same" if certificate.same_start else "differs", *[NONE] * 4)
    for step in certificate.steps:
        table.add(
            f"step {step.step}: batch", "the same" if step.same_batch else "differs", *[NONE] * 4
        )
        for stage in STAGES:
            values = [each for each in step.values if each.key.startswith(f"{stage}/")]
            if values:
                _add_stage(table, f"step {step.step}: {stage}", values)
    drift = certificate.drift
    if drift is not None and drift.between:
        fits = all(a <= b for a, b in zip(drift.between, drift.allowed, strict=True))
        ends = significant(drift.between[-1]), significant(drift.allowed[-1])
        table.add("drift", "agrees" if fits else "differs", len(drift.between), NONE, *ends)
    if certificate.predictions is not None:
        found = certificate.predictions
        result = "differ" if found.flips or not found.same_images else "the same"
        table.add("predictions", result, found.images, NONE, *_logits(found.largest_difference))
    return Section("Checks", [Rows(table, "Differences are relative to the values' size")])


def _logits(difference: float) -> tuple[str, str]:
    return f"{significant(difference)} (logits)", NONE


def _add_stage(table: Table, name: str, values: list[Compared]) -> None:
    off, worst = sum(not each.agrees for each in values), max(values, key=excess)
    result = "agree" if not off else f"{off:,} differ"
    shown = worst.key.partition("/")[2]
    numbers = significant(worst.difference), significant(worst.allowed)
    table.add(name, result, f"{len(values):,}", shown or "(the model)", *numbers)


def _place(certificate: Certificate) -> Section | None:
    place = certificate.place
    if place is None:
        return None
    blocks: list[Block] = [Facts(_facts(place))]
    for caption, pair in (("Settings", place.settings), ("Values", place.summaries)):
        if pair is not None and any(pair):
            blocks.append(Rows(_beside(*pair), caption))
    if certificate.others:
        further = [
            f"{place_name(other)}{_by(other)}{cause_sentence(other)}"
            for other in certificate.others
        ]
        blocks += [Paragraph("Further places, which do not follow from this one:"), Items(further)]
    return Section("Where they part", blocks)


def _facts(place: Place) -> dict[str, str]:
    facts = {"Stage": place.stage, "Name": place.name or NONE}
    if place.path is not None:
        facts["Layer"] = place.path or "the model"
    if place.kind is not None:
        facts["Kind"] = place.kind
    if place.difference is not None:
        facts["Difference"] = significant(place.difference)
    if place.allowed is not None:
        facts["Allowed"] = significant(place.allowed)
    facts["Likely cause"] = place.cause or "none that is known fits"
    return facts


def _by(place: Place) -> str:
    when = "" if place.step is None else f" in step {place.step}"
    return when if place.difference is None else f"{when}, by {significant(place.difference, 2)}"


def _beside(one: Mapping[str, object], other: Mapping[str, object]) -> Table:
    table = Table(["", "first side", "second side"], ["left", "left", "left"])
    for name in dict.fromkeys(chain(one, other)):
        table.add(name, *(_shown(side.get(name)) for side in (one, other)))
    return table


def _shown(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(str, value))})"
    return str(value)


def _worst(certificate: Certificate) -> Section | None:
    pairs = [(step, value) for step in certificate.steps for value in step.values]
    ranked = sorted(pairs, key=lambda pair: -excess(pair[1]))[:WORST]
    ranked = [pair for pair in ranked if pair[1].difference > 0]
    if not ranked:
        return None
    columns = ["value", "step", "difference", "yardstick", "allowed", "local", "allowed locally"]
    table = Table(columns)
    for step, value in ranked:
        numbers = (value.difference, value.yardstick, value.allowed)
        local = (value.local, value.local_allowed)
        table.add(value.key, step.step, *map(significant, (*numbers, *local)))
    text = (
        "The yardstick is the larger one of the differences of each side from itself when something"
        " changes that ought not to matter. Local: between a layer of one side and the same layer"
        " of the other, run on the same input."
    )
    caption = f"The {len(ranked)} values that are nearest to what is allowed, or beyond it"
    return Section("Worst values", [Paragraph(text), Rows(table, caption)])


def _drift(certificate: Certificate) -> Section | None:
    drift = certificate.drift
    if drift is None:
        return None
    columns = ["step", "between", "allowed", "first from itself", "second from itself"]
    table = Table([*columns, "first loss", "second loss"], ["right"] * 7)
    own = [own_drift(drift, side) for side in (0, 1)]
    rows = zip(drift.between, drift.allowed, *own, *drift.losses, strict=True)
    for step, row in enumerate(rows, 1):
        table.add(step, *(significant(value) for value in row[:4]), *map(_loss, row[4:]))
    changes = sorted({name for side in drift.themselves for name in side})
    text = f"A side drifts from itself with: {', '.join(changes)}."
    caption = "Relative difference of the parameters after each step"
    return Section("Drift", [*([Paragraph(text)] if changes else []), Rows(table, caption)])


def _loss(value: float) -> str:
    return significant(value, 7)


def _predictions(certificate: Certificate) -> Section | None:
    found = certificate.predictions
    if found is None:
        return None
    blocks: list[Block] = [Paragraph(predictions_sentence(found))]
    if found.flips:
        columns = ["image", "first side", "second side", "margin", "difference of logits"]
        table = Table(columns, ["right", "left", "left", "right", "right"])
        for flip in sorted(found.flips, key=lambda each: -each.margin)[:FLIPS]:
            numbers = map(significant, (flip.margin, flip.noise))
            table.add(flip.image, *flip.predicted, *numbers)
        blocks.append(Rows(table, "Images that are predicted differently, the clearest first"))
    return Section("Predictions", blocks)


def _notes(certificate: Certificate) -> Section | None:
    missing = [_missing(step) for step in certificate.steps if step.missing]
    texts = [*certificate.notes, *missing]
    return Section("Notes", [Items(texts)]) if texts else None


def _missing(step: ComparedStep) -> str:
    names = ", ".join(islice(step.missing, 5))
    more = ", ..." if len(step.missing) > 5 else ""
    return (
        f"In step {step.step}, {count(len(step.missing), 'value')} of one side alone, or of another"
        f" shape, is not compared: {names}{more}."
    )
