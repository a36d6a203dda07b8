"""Runs the commands of the documentation: Isotune's in this process, few others in a shell."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from command_line import exit_code
from documented.blocks import ROOT, Block
from documented.changes import ADDED, CHECKED, NEEDED, NOT_RUN, STARTED
from documented.stage import Stage
from isotune.cli.app import app

_ASSIGNED = re.compile(r"^((?:[A-Z_]+=\S+ +)*)(?=\S)")
_REDIRECTED = re.compile(r" > [\w.-]+$")
_EXTRAS = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text("utf-8"), re.M))
_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def reason_not_to_run(block: Block, text: str) -> str | None:
    """Returns why `text`, of the block, is not run; None if it is."""
    for (page, part), reason in NOT_RUN.items():
        if page in {"*", block.page} and part in text:
            return reason
    missing = [name for word, name in NEEDED.items() if word in text and not find_spec(name)]
    return f"{missing[0]} is not installed" if missing else None


def run(block: Block, command: str, stage: Stage) -> None:
    """Runs a command, or checks what can be checked of it, and fails if it fails."""
    for part in re.split(r" && (?=[\w.]+ )", command.partition("  #")[0].strip()):
        assigned = _ASSIGNED.match(part)[1]
        part = part[len(assigned) :]
        program, *arguments = shlex.split(part, comments=True)
        reason = reason_not_to_run(block, assigned + part)
        with pytest.MonkeyPatch.context() as patch:
            for name, _, value in (each.partition("=") for each in assigned.split()):
                patch.setenv(name, value)
            if program == "isotune":
                _isotune(block, part, None if reason else stage)
            elif program in CHECKED:
                _check(block, program, arguments)
            else:
                assert reason or program in STARTED, f"{block.where}: {program} is in no list"
                if reason is None and shutil.which(program):
                    _start(stage.runnable(part))


def _start(command: str) -> None:
    """Runs a command in a shell."""
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60)


def _isotune(block: Block, command: str, stage: Stage | None) -> None:
    """Runs a command of Isotune; without a stage, it is only parsed."""
    command = _REDIRECTED.sub("", command)
    parse(shlex.split(command, comments=True)[1:], block)
    if stage is None:
        return
    name, *arguments = shlex.split(stage.runnable(command), comments=True)[1:]
    arguments = [found for each in arguments for found in _expanded(each)]
    if not arguments or not arguments[0].endswith(".trace"):  # traces have all options in them
        added = ADDED.get(name, ())
        pairs = zip(added[::2], added[1::2], strict=True)
        arguments += [each for pair in pairs if pair[0] not in arguments for each in pair]
    if name == "resume":  # each line is an example of its own
        shutil.rmtree("runs/RUN")
        shutil.copytree("runs/STOPPED", "runs/RUN")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        code = exit_code(name, *arguments)
    # A certificate may say that sides differ, as tiny nets do in bf16.
    assert code == 0 or (name == "certify" and code == 1), f"{block.where}: {command}"


def _expanded(argument: str) -> list[str]:
    """Returns what a shell makes of a pattern."""
    return sorted(map(str, Path().glob(argument))) if "*" in argument else [argument]


def parse(arguments: list[str], block: Block) -> None:
    """Fails if an option or a command is none, or an argument is missing."""
    command = get_command(app)
    context = command.make_context("isotune", list(arguments), resilient_parsing=True)
    while hasattr(command, "commands") and not arguments[0].startswith("-"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = command.make_context(name, list(arguments), parent=context)
    assert context.params is not None, block.where


def _check(block: Block, program: str, arguments: list[str]) -> None:
    """Looks at what a program that is not started names."""
    if program == "pip":
        named = [extra for each in arguments for extra in re.findall(r"\[([\w,]+)\]", each)]
        missing = {extra for each in named for extra in each.split(",")} - _EXTRAS
    elif program == "make":
        missing = {each for each in arguments if "=" not in each} - _TARGETS
    else:
        paths = [each for each in arguments if each.startswith(("tests/", "benchmarks/"))]
        missing = {each for each in paths if not (ROOT / each).exists()}
    assert not missing, f"{block.where}: there is no {sorted(missing)}"
