"""What runs in a lab, and what its frontends say they serve."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from deploy.lab import answers, servers
from deploy.lab.blueprint import Blueprint, Frontend
from deploy.lab.daemon import Daemon, DaemonState


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """One server program: its state, its pid while it runs, and where it listens."""

    state: DaemonState
    pid: int | None
    address: str

    @classmethod
    def of(cls, daemon: Daemon, address: str) -> DaemonStatus:
        """As it is now."""
        return cls(daemon.state, daemon.pid, address)


@dataclass(frozen=True, slots=True)
class FrontendStatus:
    """One frontend. `activation` is its answer to ``/-/lockstep/activation``, or in words why there is none.

    `rotation` is HAProxy's word on it, such as ``UP L7OK``; empty where HAProxy does not answer.
    """

    name: str
    sshd: DaemonStatus
    nginx: DaemonStatus
    activation: dict[str, Any] | str
    rotation: str
    root: str


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A whole lab."""

    directory: str
    inventory: str
    url: str
    haproxy: DaemonStatus
    service: DaemonStatus
    frontends: tuple[FrontendStatus, ...]

    @property
    def daemons(self) -> Iterator[DaemonStatus]:
        """Every server program."""
        yield self.haproxy
        yield self.service
        for frontend in self.frontends:
            yield from (frontend.sshd, frontend.nginx)

    @property
    def runs(self) -> bool:
        """Whether every server program runs."""
        return all(daemon.state is DaemonState.RUNNING for daemon in self.daemons)

    def as_dict(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {**asdict(self), "runs": self.runs}


def look(lab: Blueprint) -> LabStatus:
    """Look at all processes and ask all frontends, side by side."""
    rotation = answers.rotation(lab.admin_socket)

    def frontend_status(frontend: Frontend) -> FrontendStatus:
        return FrontendStatus(
            name=frontend.name,
            sshd=DaemonStatus.of(servers.sshd(lab, frontend), f"{frontend.address}:{frontend.ssh_port}"),
            nginx=DaemonStatus.of(servers.nginx(lab, frontend), f"{frontend.address}:{frontend.http_port}"),
            activation=answers.activation(frontend.url),
            rotation=rotation.get(frontend.name, ""),
            root=str(frontend.root),
        )

    with ThreadPoolExecutor(max_workers=16) as pool:
        frontends = tuple(pool.map(frontend_status, lab.frontends))
    haproxy = DaemonStatus.of(servers.haproxy(lab), lab.url.removeprefix("http://"))
    service = DaemonStatus.of(servers.service(lab), lab.service_url.removeprefix("http://"))
    return LabStatus(str(lab.directory), str(lab.inventory), lab.url, haproxy, service, frontends)
