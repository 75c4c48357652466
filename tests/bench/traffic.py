"""What is sent to the frontends, counted by the kernel: bytes of IP packets to their ports, in a table of our own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from types import TracebackType

from deploy.lab import Lab
from deploy.programs import find


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes to the frontends' SSH servers, to their web servers, and to the load balancer."""

    ssh: int
    http: int
    balancer: int

    def __sub__(self, other: Sent) -> Sent:
        return Sent(self.ssh - other.ssh, self.http - other.http, self.balancer - other.balancer)

    @property
    def controller(self) -> int:
        """What left the controller: all but the observers' requests, which the load balancer hands on."""
        return self.ssh + max(0, self.http - self.balancer)


class Traffic:
    """Counters for one lab until the context ends. `sent()` is None where this user, or this machine, can't count."""

    def __init__(self, lab: Lab) -> None:
        one = lab.frontends[0]
        network = one.address.rsplit(".", 1)[0]
        self._table = f"lockstep_bench_{os.getpid()}"
        self._ruleset = f"""table inet {self._table} {{
            counter ssh {{ }}
            counter http {{ }}
            counter balancer {{ }}
            chain sent {{
                type filter hook output priority 0; policy accept;
                ip daddr {network}.0/24 tcp dport {one.ssh_port} counter name ssh
                ip daddr {network}.0/24 tcp dport {one.http_port} counter name http
                tcp dport {lab.blueprint.balancer_port} counter name balancer
            }}
        }}"""
        self._nft = find("nft")
        self._counts = False

    def __enter__(self) -> Traffic:
        if self._nft is not None and os.geteuid() == 0:
            self._counts = self._run("-f", "-", given=self._ruleset).returncode == 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._counts:
            self._run("delete", "table", "inet", self._table)

    def sent(self) -> Sent | None:
        """So far."""
        if not self._counts:
            return None
        listed = json.loads(self._run("-j", "list", "counters", "table", "inet", self._table).stdout)
        counters = [each["counter"] for each in listed["nftables"] if "counter" in each]
        return Sent(**{each["name"]: each["bytes"] for each in counters})

    def _run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(self._nft), *words], input=given, capture_output=True, text=True, check=False)
