"""The network of two namespaces: it can be cut between workers and frontends, and clients never notice.

docs/partitions.md draws it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum

from tests.partitions import slow_wire
from tests.partitions.namespaces import Namespace

#: Of the addresses that networks of one's own have, used here in namespaces alone.
PREFIX = "10.213.0"
WORKERS = f"{PREFIX}.254"
#: The name of the link, at both of its ends.
WIRE = "wire"


def missing() -> str:
    """Why there can be no namespaces here, "" where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in ("ip", "nft") if shutil.which(name) is None]
    if absent:
        return f"{' and '.join(absent)} missing (Debian: iproute2, nftables)"
    try:
        with Namespace() as probe:
            probe.run("nft", "-f", "-", given=_ruleset(["numgen random mod 100 < 1 drop"]))
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespace, or no nftables in it: {error}"
    return ""


class Way(StrEnum):
    """Which packets between workers and a frontend are lost."""

    BOTH = "both ways"
    TO = "to the frontend"
    FROM = "from the frontend"


class Network:
    """Workers in one namespace; frontends, load balancer and clients in the other; one link between them.

    A frontend's packets are dropped where they arrive, so that nobody who sends them can tell. What the load balancer
    and the clients say to each other and to the frontends never passes the link.
    """

    def __init__(self, frontends: int) -> None:
        self._addresses = {f"fe{number}": f"{PREFIX}.{number}" for number in range(1, frontends + 1)}
        with ExitStack() as stack:
            self.workers = stack.enter_context(Namespace())
            self.fleet = stack.enter_context(Namespace())
            self._link()
            self._stack = stack.pop_all()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cut(self, frontend: str, way: Way = Way.BOTH) -> None:
        """From now on the workers and this frontend don't hear each other, or one of them not the other."""
        address = self._addresses[frontend]
        self._filter(
            arriving=[f"ip daddr {address} drop"] if way is not Way.FROM else [],
            returning=[f"ip saddr {address} drop"] if way is not Way.TO else [],
        )

    def lose(self, percent: int) -> None:
        """From now on so many of all packets are lost, each way, by chance."""
        rule = f"numgen random mod 100 < {percent} drop"
        self._filter([rule], [rule])

    def throttle(self, kilobytes: int) -> None:
        """From now on no more than so many kB a second get through, each way; what comes faster is lost."""
        rule = f"limit rate over {kilobytes} kbytes/second burst {max(kilobytes // 8, 8)} kbytes drop"
        self._filter([rule], [rule])

    def heal(self) -> None:
        """Everything gets through again."""
        self._filter([], [])

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Until the context ends, every packet takes so long, each way."""
        with slow_wire.between(self.workers, self.fleet, seconds):
            for address in self._addresses.values():
                self.workers.run("ip", "route", "add", address, "dev", slow_wire.NAME, "src", WORKERS)
            self.fleet.run("ip", "route", "add", WORKERS, "dev", slow_wire.NAME)
            yield

    def _filter(self, arriving: Iterable[str], returning: Iterable[str]) -> None:
        self.fleet.run("nft", "-f", "-", given=_ruleset(arriving))
        self.workers.run("nft", "-f", "-", given=_ruleset(returning))

    def _link(self) -> None:
        self.workers.run("ip", "link", "add", WIRE, "type", "veth", "peer", "name", WIRE, "netns", self.fleet.path)
        ends = {self.workers: [WORKERS], self.fleet: list(self._addresses.values())}
        for namespace, addresses in ends.items():
            # One packet of the link is one packet of the network: else 64 kB are lost or let through at once.
            namespace.run("ip", "link", "set", WIRE, "gso_max_segs", "1")
            for address in addresses:
                namespace.run("ip", "address", "add", f"{address}/24", "dev", WIRE)
            namespace.run("ip", "link", "set", WIRE, "up")


def _ruleset(rules: Iterable[str]) -> str:
    """In a namespace of one's own there are no other rules that could be lost."""
    lines = "".join(f'iifname "{WIRE}" {rule}\n' for rule in rules)
    chain = f"chain arriving {{\ntype filter hook prerouting priority -300\n{lines}}}"
    return f"flush ruleset\ntable ip cut {{\n{chain}\n}}\n"
