"""A fleet whose audits a test begins in its own process, and the drift that it plants by hand."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deploy.lab import Lab
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import actor, choose
from orchestrator.domain.audit.audit import Audit, Known
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.audit.healing import Policy
from orchestrator.services.audits.report import found
from orchestrator.settings import Settings
from tests.integration.operator import PATIENCE, Operator

LOOK_SECONDS = 0.02


class Told(NamedTuple):
    """A finding, as far as a test names it."""

    frontend: str
    kind: Kind
    path: str


class Audited:
    """An operator's fleet."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.lab = operator.lab
        # In this process: to start Python for each audit would take longer than the audit.
        self.lockstep = Lockstep(Settings.read(operator.environment))

    def root(self, frontend: str) -> Path:
        """A frontend's root."""
        return self.lab.frontend(frontend).root

    def audits(self, *, deep: bool = False, policy: Policy = Policy.REPORT, remove_extra: bool = False) -> Audit:
        """One audit, from its start to its end."""
        fleet = choose(self.lockstep, "web")
        begun = self.lockstep.auditing.begin(fleet, actor(), deep=deep, policy=policy, remove_extra=remove_extra)
        deadline = time.monotonic() + PATIENCE
        while (now := found(self.lockstep.audits, begun.id)).outcome is None:
            assert time.monotonic() < deadline, "the audit does not end"
            time.sleep(LOOK_SECONDS)
        return now

    def known(self) -> list[Known]:
        """The findings that are open."""
        return self.lockstep.audits.findings("Lab/web")

    def told(self) -> set[Told]:
        """The same, as tests name them."""
        return {Told(each.finding.frontend, each.finding.kind, each.finding.path) for each in self.known()}


@contextmanager
def audited(directory: Path, frontends: int, *deployed: tuple[str, dict[str, bytes]]) -> Iterator[Audited]:
    """A fleet that was deployed to in this order, with workers."""
    with Lab.up(directory / "lab", frontends) as lab:
        operator = Operator(directory, lab)
        with operator.standalone():
            for version, files in deployed:
                operator.builds(version, files)
                said = operator.types("deploy", "web", f"ToDo={version}")
                assert said.code == 0, (said.output, said.messages)
            yield Audited(operator)


# ── drift ──


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Meanwhile its directory may be written to."""
    before = path.parent.stat().st_mode
    path.parent.chmod(stat.S_IMODE(before) | stat.S_IWUSR)
    try:
        yield
    finally:
        path.parent.chmod(stat.S_IMODE(before))


def replaces(content: bytes) -> Callable[[Path], None]:
    """Somebody saves the file with an editor: another inode."""

    def plant(path: Path) -> None:
        with writable(path):
            new = path.with_name("edited")
            new.write_bytes(content)
            new.chmod(0o444)
            new.rename(path)

    return plant


def flips_a_bit(path: Path) -> None:
    """In its place; the size and the time stay."""
    found, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
    path.chmod(0o444)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def removes(path: Path) -> None:
    """A file, a link, or a tree."""
    with writable(path):
        if path.is_dir() and not path.is_symlink():
            for directory, _, _ in os.walk(path):
                Path(directory).chmod(0o755)
            for directory, folders, names in os.walk(path, topdown=False):
                for name in names:
                    (Path(directory) / name).unlink()
                for name in folders:
                    entry = Path(directory) / name
                    if entry.is_symlink():
                        entry.unlink()
                    else:
                        entry.rmdir()
            path.rmdir()
        else:
            path.unlink()


def becomes(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else lies there."""

    def plant(path: Path) -> None:
        if path.exists() or path.is_symlink():
            removes(path)
        with writable(path):
            make(path)

    return plant


def links_to(target: str) -> Callable[[Path], None]:
    """A symbolic link."""
    return becomes(lambda path: path.symlink_to(target))


def mode(bits: int) -> Callable[[Path], None]:
    """Other permissions."""
    return lambda path: path.chmod(bits)


def says(content: str) -> Callable[[Path], object]:
    """A file of the frontend's state."""
    return lambda path: path.write_text(content)


def adds(content: bytes) -> Callable[[Path], None]:
    """Something at the end of a file, in its place."""

    def plant(path: Path) -> None:
        with path.open("ab") as file:
            file.write(content)

    return plant
