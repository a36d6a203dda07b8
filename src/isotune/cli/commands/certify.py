"""``isotune certify``: whether two sides train alike, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Overrides, ProcessCount, processes_of

if TYPE_CHECKING:
    from isotune.equivalence.certificates.certificate import Certificate
    from isotune.equivalence.certify import Certifier
    from isotune.equivalence.recording.steps import Recording
    from isotune.equivalence.sides import ChosenSide
    from isotune.experiment.processes import Processes


def certify(
    subjects: Annotated[
        list[str], typer.Argument(metavar="SPEC | TRACE TRACE", help="A spec, or two traces.")
    ],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIDE", help="BACKEND:DEVICE[,precision=bf16][,compile=true]; once or twice."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="TRACE", help="Record the side to this file.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="TRACE", help="Compare the side with a recorded one.")
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Record whole arrays, too, to compare layer by layer."),
    ] = False,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Training steps to trace.")] = 1,
    drift: Annotated[
        int, typer.Option(metavar="N", min=0, help="Training steps to go on, for the drift.")
    ] = 8,
    predictions: Annotated[
        int, typer.Option(metavar="N", min=0, help="Validation images to predict after them.")
    ] = 256,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write JSON, Markdown and a figure."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
    processes: ProcessCount = "1",
) -> None:
    """Certify that two sides train alike, or find where they part.

    Exit code 1 if they differ.
    """
    from isotune.equivalence.certify import Certifier
    from isotune.equivalence.recording.steps import Recording
    from isotune.equivalence.sides import parse_side

    count = processes_of(processes)
    check_call(subjects, on or [], record, against, whole=whole, alone=count == 1)
    sides = [parse_side(side) for side in on or ()]
    recording, changes = Recording(steps, drift, predictions), tuple(overrides or ())
    if record is not None and record_in_processes(
        count, subjects[0], sides[0], record, recording, changes, whole=whole
    ):
        return
    certifier = Certifier(subjects[0], changes, recording, tell=partial(typer.echo, err=True))
    if record is not None:
        certifier.to_file(sides[0], record, whole=whole)
    else:
        found = certified(certifier, subjects, sides, against)
        show_certificate(found, output, as_json=as_json)


def check_call(
    subjects: list[str],
    sides: list[str],
    record: Path | None,
    against: Path | None,
    *,
    whole: bool,
    alone: bool,
) -> None:
    """Checks that the arguments make one of the command's four calls.

    Raises:
        SpecError: They do not.
    """
    from isotune.errors import SpecError

    spec = len(subjects) == 1
    traces = len(subjects) == 2 and not sides and record is None and against is None
    both = spec and len(sides) == 2 and record is None and against is None
    half = spec and len(sides) == 1 and (record is None) != (against is None)
    if not (traces or both or half):
        raise SpecError(
            "certify takes a SPEC with two sides (--on SIDE --on SIDE), a SPEC with one side and"
            " --record TRACE or --against TRACE, or two recorded TRACEs."
        )
    if whole and record is None:
        raise SpecError("--whole: is for --record; without it, the sides here are compared whole.")
    if not alone and record is None:
        raise SpecError(
            "--processes: is for --record. Record both sides, each with its own number, and compare"
            " the traces."
        )


def certified(
    certifier: Certifier, subjects: list[str], sides: list[ChosenSide], against: Path | None
) -> Certificate:
    """Makes one of the three calls that compare."""
    from isotune.equivalence.certify import certify_traces

    if not sides:
        return certify_traces(*map(Path, subjects))
    if against is not None:
        return certifier.against(against, sides[0])
    return certifier.here(sides[0], sides[1])


def record_in_processes(
    processes: Processes,
    spec: str,
    side: ChosenSide,
    record: Path,
    recording: Recording,
    overrides: Sequence[str],
    *,
    whole: bool,
) -> bool:
    """Records a side in several processes; returns False, if one is enough."""
    from isotune.experiment.processes import starting
    from isotune.plugins import plugins

    start = starting(processes, lambda: side.backend, side.device, plugins)
    if start is None:
        return False
    options = [("--on", side), ("--record", record), *(("--set", each) for each in overrides)]
    for name in ("steps", "drift", "predictions"):
        options.append((f"--{name}", getattr(recording, name)))
    flags = ["--whole"] if whole else []
    start.isotune(["certify", spec, *(str(part) for pair in options for part in pair), *flags], 1)
    return True


def show_certificate(certificate: Certificate, folder: Path | None, *, as_json: bool) -> None:
    """Prints a certificate, and writes it to a folder.

    Raises:
        typer.Exit: With code 1, if the sides differ.
    """
    from isotune.equivalence.certificates.file import certificate_json
    from isotune.equivalence.certificates.report import certificate_text
    from isotune.equivalence.certify import write_certificate
    from isotune.progress.console import output, show

    if folder is not None:
        write_certificate(folder, certificate)
    if as_json:
        typer.echo(certificate_json(certificate))
    else:
        show(output(), certificate_text(certificate))
    if certificate.verdict == "differs":
        raise typer.Exit(1)
