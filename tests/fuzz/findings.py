"""What broke something, kept in a file from which it can be done again."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

from tests.fuzz.runs import Crash, outcome, settled
from tests.fuzz.targets import TARGETS

_FIRST = "# An input of the fuzz: "


def keep(crash: Crash, directory: Path) -> Path:
    """The file with the inputs, one a line as Python spells it, behind the target's name and what went wrong."""
    text = "".join(f"{line}\n" for line in crash.inputs)
    name = f"{crash.target}-{crash.seed}-{crash.index}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.txt"
    head = "".join(f"# {line}\n" for line in crash.what.splitlines())
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"{_FIRST}{crash.target}\n{head}{text}", encoding="utf-8", errors="backslashreplace")
    return path


def read(path: Path) -> tuple[str, list[Any]]:
    """The target's name and the inputs. Raises `ValueError` for a file that `keep` has not written."""
    first, *lines = path.read_text(encoding="utf-8").split("\n")
    name = first.removeprefix(_FIRST)
    if name not in TARGETS or first == name:
        raise ValueError(f"{path} is not a file that the fuzz has kept")
    return name, [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]


def replay(path: Path) -> str | None:
    """Do it again: what broke, None where nothing does any more."""
    name, inputs = read(path)
    with TARGETS[name]() as target:
        target.reset()
        for made in inputs:
            came = outcome(target, made)
            if isinstance(came, str):
                return came
        return settled(target)
