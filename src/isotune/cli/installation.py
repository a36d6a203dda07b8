"""What is installed here, and what is wrong with it: the page of ``isotune backends``."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotune.storage import home
from isotune.storage.memory import address_space_limit

if TYPE_CHECKING:
    from isotune.plugins import BackendReport, Plugins

FEW_BYTES = 2 << 30
"""Space on a disk below which a download or a run may soon fail."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_THREAD_LIMIT")
"""Variables that decide how frameworks use CPUs."""

VARIABLES = ("ISOTUNE_HOME", "ISOTUNE_COMPILE_CACHE", "ISOTUNE_MAX_DOWNLOAD", "ISOTUNE_VERBOSE")
"""Isotune's own variables."""

_REQUIREMENT = re.compile(r"""^([\w.-]+)(?:[^;]*$|[^;]*;.*extra\s*==\s*["']([\w-]+)["'])""")
NOT_FOR_USERS = ("dev", "docs", "testing")


@dataclass(frozen=True)
class Installation:
    """What is installed, and what is wrong.

    Attributes:
        versions: Versions by package, with Python's.
        machine: Processor, CPUs, memory and system.
        home: Where datasets, weights and caches are.
        free_bytes: Space left there; None if it is unknown.
        decoding_threads: Number of threads that decode images by default.
        variables: Variables of the environment that are set and count.
        backends: The state of each backend.
        extras: Packages that each extra lacks, by its name.
        problems: Sentences on what is wrong beside the backends, and how to mend it.
    """

    versions: dict[str, str]
    machine: dict[str, Any]
    home: str
    free_bytes: int | None
    decoding_threads: int
    variables: dict[str, str]
    backends: tuple[BackendReport, ...]
    extras: dict[str, tuple[str, ...]]
    problems: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether any backend can be used."""
        return any(report.problem is None for report in self.backends)

    def as_json(self) -> dict[str, Any]:
        """Returns plain data."""
        return {**asdict(self), "usable": self.usable}


def examine(plugins: Plugins) -> Installation:
    """Looks at what is installed; this imports the frameworks of all backends."""
    from isotune.data.workers import worker_count
    from isotune.equivalence.machine import describe_machine

    machine, place = describe_machine(), home.home()
    variables = {name: os.environ[name] for name in (*VARIABLES, *THREADS) if name in os.environ}
    free = _free_bytes(place)
    return Installation(
        versions=own_versions(),
        machine=machine,
        home=str(place),
        free_bytes=free,
        decoding_threads=worker_count(None),
        variables=variables,
        backends=tuple(plugins.reports()),
        extras=extras(),
        problems=(*_home_problems(place, free), *_process_problems(variables, machine["cpus"])),
    )


def own_versions() -> dict[str, str]:
    """Returns versions of Isotune, Python and the packages that every run uses; imports none."""
    found = {"isotune": version("isotune"), "python": platform.python_version()}
    for name in ("numpy", "pillow", "pydantic", "rich", "typer"):
        found[name] = installed(name) or "missing"
    return found


def installed(package: str) -> str | None:
    """Returns the version of a package, or None; imports nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def of_a_report() -> dict[str, str]:
    """Returns versions of what is installed of all that Isotune and its extras use."""
    found = {name: installed(name) for name, _ in _required()}
    return {name: number for name, number in found.items() if number is not None}


def _required() -> Iterator[tuple[str, str | None]]:
    """Yields the packages that Isotune requires, and the extra that does, or None."""
    for line in requires("isotune") or ():
        found = _REQUIREMENT.match(line)
        if found is not None and found[1] != "isotune" and found[2] not in NOT_FOR_USERS:
            yield found[1], found[2]


def extras() -> dict[str, tuple[str, ...]]:
    """Returns the packages that each of Isotune's extras lacks, by the extra's name."""
    missing: dict[str, tuple[str, ...]] = {}
    for package, extra in _required():
        if extra is None:
            continue
        lacks = () if installed(package) else (package,)
        missing[extra] = (*missing.get(extra, ()), *lacks)
    return missing


def _free_bytes(place: Path) -> int | None:
    """Returns the space on the disk of a folder, which need not exist."""
    for folder in (place, *place.parents):
        if folder.is_dir():
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                return None
    return None


def _home_problems(place: Path, free: int | None) -> Iterator[str]:
    from isotune.reports.numbers import byte_size

    existing = next((each for each in (place, *place.parents) if os.path.lexists(each)), place)
    if not existing.is_dir():
        yield (
            f"home: {existing} is no folder, so that nothing can be kept in {place}; set"
            " ISOTUNE_HOME to a folder, or remove it."
        )
        return
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"isotune")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            yield (
                f"home: no space is left in {existing}; `isotune cache clear --all` removes what"
                " can be computed again, and ISOTUNE_HOME moves it to another disk."
            )
            return
        yield (
            f"home: nothing can be written to {existing}: {error.strerror or error}; set"
            " ISOTUNE_HOME to a folder that can be written."
        )
        return
    if free is not None and free < FEW_BYTES:
        yield (
            f"home: only {byte_size(free)} are left on the disk of {place}; `isotune cache list`"
            " shows what is kept there, and ISOTUNE_HOME moves it to another disk."
        )


def _process_problems(variables: Mapping[str, str], cpus: int) -> Iterator[str]:
    from isotune.reports.numbers import byte_size

    threads = variables.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and 0 < int(threads) < cpus:
        yield (
            f"OMP_NUM_THREADS is {threads}, so that frameworks compute with {threads} of {cpus}"
            " CPUs; unset it, unless something else needs the others."
        )
    limit = address_space_limit()
    if limit is not None and limit < 8 << 30:
        yield (
            f"this process may map {byte_size(limit)} (`ulimit -v`), with which a framework may"
            " not load; raise the limit."
        )
    if sys.flags.optimize > 1:
        yield "Python runs with -OO, which strips texts that packages need; start it without."


def facts(found: Installation) -> Sequence[tuple[str, str]]:
    """Returns what is shown of an installation, in order."""
    from isotune.reports.numbers import byte_size

    machine, free = found.machine, found.free_bytes
    memory = machine["memory_gib"]
    left = "" if free is None else f", {byte_size(free)} left on its disk"
    ready = [name for name, missing in found.extras.items() if not missing]
    lacking = [name for name, missing in found.extras.items() if missing]
    rows = [
        ("versions", ", ".join(f"{name} {number}" for name, number in found.versions.items())),
        ("machine", f"{machine['cpu']}, {machine['cpus']} CPUs, {memory} GiB, {machine['system']}"),
        ("home", f"{found.home}{left}"),
        ("decoding", f"{found.decoding_threads} threads"),
        ("extras", ", ".join(ready) or "none"),
        ("not installed", ", ".join(lacking) or "none"),
    ]
    if found.variables:
        shown = ", ".join(f"{name}={value}" for name, value in found.variables.items())
        rows.append(("variables", shown))
    return rows
