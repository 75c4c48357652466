"""Free addresses on loopback: a network of its own for each lab, so that logs say which frontend it was."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from deploy.lab.errors import LabError

#: Below the range from which Linux takes the ports of clients, so that none of them takes one of these meanwhile.
PORTS = range(10_240, 32_000)
#: 127.0.0.x and 127.0.1.1 are others' (localhost, Debian's name for the machine).
NETWORKS = range(2, 255)
BALANCER = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """`network`.n:`ssh_port` and :`http_port` are frontend n's; the balancer and the service are on 127.0.0.1."""

    network: str
    ssh_port: int
    http_port: int
    balancer_port: int
    service_port: int

    def of(self, number: int) -> str:
        """The address of frontend `number`, which begins at 1."""
        return f"{self.network}.{number}"


def choose(frontends: int, network: str = "") -> Addresses:
    """Addresses that are free now, in `network` where one is named (`10.0.0`). `LabError` where none are."""
    dice = random.SystemRandom()
    loopback = [f"127.0.{number}" for number in dice.sample(NETWORKS, len(NETWORKS))]
    for each in [network] if network else loopback:
        chosen = Addresses(each, *dice.sample(PORTS, 4))
        wanted = [(BALANCER, chosen.balancer_port), (BALANCER, chosen.service_port)]
        for number in range(1, frontends + 1):
            wanted += [(chosen.of(number), chosen.ssh_port), (chosen.of(number), chosen.http_port)]
        if all(is_free(address, port) for address, port in wanted):
            return chosen
    raise LabError(
        "no free addresses for the lab",
        expected=f"a network {network or '127.0.n'}.0/24 on which {frontends} frontends can listen",
        remedy="end what listens there (ss -ltn), or start fewer frontends",
    )


def is_free(address: str, port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as listener:
        # As the servers do: what a closed connection leaves behind for a minute is no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            return False
        return True
