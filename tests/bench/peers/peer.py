"""What a peer is: a tool that deploys a release to a lab by one command, used as somebody who knows it would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy import programs
from deploy.lab import Lab
from tests.bench.contained import Command
from tests.bench.release import Release

#: Where the peers that come from PyPI are: `make .venv-bench/ready`.
BENCH_BIN = Path(__file__).resolve().parents[3] / ".venv-bench" / "bin"


class MissingError(Exception):
    """A peer's program is not on this machine; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Site:
    """A lab that a peer deploys to, and a directory for what the peer keeps between its deployments."""

    lab: Lab
    scratch: Path

    @property
    def names(self) -> list[str]:
        """The frontends, as `ssh -F` knows them."""
        return [frontend.name for frontend in self.lab.frontends]

    @property
    def ssh_config(self) -> Path:
        """OpenSSH's configuration for all of them."""
        return self.lab.blueprint.ssh_config

    def write(self, name: str, text: str) -> Path:
        """A file of the peer's."""
        path = self.scratch / name
        path.write_text(text)
        return path


class Peer(Protocol):
    """One tool."""

    name: str

    def check(self) -> None:
        """`MissingError` where it can't run here."""
        ...

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        """What deploys the release to all frontends and then flips them. `previous`: what they serve until then."""
        ...


def bench_program(name: str) -> Path:
    """A program of the peers' own environment."""
    path = BENCH_BIN / name
    if not path.is_file():
        raise MissingError(f"{name}: not in {BENCH_BIN}; what to do: make .venv-bench/ready")
    return path


def machine_program(name: str) -> Path:
    """A program of the machine."""
    found = programs.find(name)
    if found is None:
        raise MissingError(f"{name}: not found; what to do: python -m deploy.programs {name}")
    return found
