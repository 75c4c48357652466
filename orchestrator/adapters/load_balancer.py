"""HAProxy through its Runtime API (management.txt, "Unix Socket commands"): out of rotation, back, and who is in.

Every HAProxy in front of a fleet must confirm, each by reading back what it was told. HAProxy has no fencing token: the
last word wins there, so what reads the ledger first says it (docs/load-balancer.md).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from inventory.model import SOCKET, LoadBalancer
from orchestrator.domain.errors import RefusedError, UnansweredError

#: How long one HAProxy has to connect and for each part of its answer, in seconds.
ANSWER_SECONDS = 3.0
#: The longest answer that is read, in bytes: a line of `show servers state` has some 200.
LONGEST_ANSWER = 4 << 20
#: Of `srv_admin_state`: taken out by command, by the configuration, or with a server that is tracked; and draining.
MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20
DRAINING = 0x08 | 0x10
#: Of `srv_op_state`.
RUNNING = 2
#: How often a readmitted server is looked at, in seconds.
LOOK_SECONDS = 0.1

States = Mapping[str, tuple[int, int]]


class HaproxyLoadBalancer:
    """The HAProxy processes of one fleet. Opens a connection for each command, keeps none."""

    def __init__(self, settings: LoadBalancer) -> None:
        self._settings = settings

    def drain(self, frontend: str) -> str:
        """Take a frontend out of rotation in every HAProxy; returns who confirmed it.

        Raises:
            UnansweredError: One of them did not answer, or in no way that can be understood.
            RefusedError: One of them has no such server, refuses the command, or reads back something else.
        """
        return self._set(frontend, "maint")

    def readmit(self, frontend: str) -> str:
        """Let every HAProxy use it again, as soon as its health checks say so. Raises as `drain` does."""
        return self._set(frontend, "ready")

    def uses(self, frontend: str) -> bool:
        """Whether any HAProxy may use the frontend."""
        server = self._settings.server(frontend)
        return any(_in(self._states(where).get(server)) for where in self._settings.sockets)

    def await_up(self, frontend: str, seconds: float) -> None:
        """Return once every HAProxy finds it well; `UnansweredError` where one does not in time."""
        server, deadline = self._settings.server(frontend), time.monotonic() + seconds
        for where in self._settings.sockets:
            while self._states(where).get(server, (0, 0))[0] != RUNNING:
                if time.monotonic() > deadline:
                    raise UnansweredError(
                        "HAProxy does not find it well",
                        where=f"{frontend} at {where}",
                        expected=f"state UP within {seconds:g} s",
                        found="its health check fails",
                        remedy="see that its web server answers 200 at /-/lockstep/health",
                    )
                time.sleep(LOOK_SECONDS)

    # ── below ──

    def _set(self, frontend: str, state: str) -> str:
        server, backend = self._settings.server(frontend), self._settings.backend
        for where in self._settings.sockets:
            said = self._ask(where, f"set server {backend}/{server} state {state}")
            if said.strip():
                raise RefusedError(
                    f"HAProxy does not set the state of {backend}/{server}",
                    where=where,
                    expected="no objection",
                    found=said.strip()[:200],
                    remedy="see the names of backend and server in the inventory, and that the socket's level is admin",
                )
            found = self._states(where).get(server)
            if found is None or _in(found) != (state == "ready"):
                raise RefusedError(
                    f"HAProxy was told {state} of {backend}/{server}, and reads back something else",
                    where=where,
                    expected=state,
                    found="no such server" if found is None else f"srv_admin_state {found[1]}",
                    remedy="see whether the configuration or another program holds it there",
                )
        return f"haproxy at {', '.join(self._settings.sockets)}"

    def _states(self, where: str) -> States:
        """Server -> its operational and administrative state, as `show servers state` gives them."""
        said = self._ask(where, f"show servers state {self._settings.backend}")
        lines = said.splitlines()
        columns = lines[1].removeprefix("# ").split() if len(lines) > 1 and lines[0] == "1" else []
        wanted = ("srv_name", "srv_op_state", "srv_admin_state")
        try:
            name, operational, administrative = (columns.index(column) for column in wanted)
            rows = [line.split(" ") for line in lines[2:] if line]
            return {row[name]: (int(row[operational]), int(row[administrative])) for row in rows}
        except (ValueError, IndexError) as error:
            raise UnansweredError(
                "HAProxy's answer can't be understood",
                where=where,
                expected=f"the servers of the backend {self._settings.backend}, format 1",
                found=said[:200] or "nothing",
                remedy="see the backend's name in the inventory, and that the socket's level is admin",
            ) from error

    def _ask(self, where: str, command: str) -> str:
        try:
            with _connected(where) as connection:
                connection.sendall(f"{command}\n".encode())
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                return _whole(connection)
        except OSError as error:
            raise UnansweredError(
                "HAProxy does not answer",
                where=where,
                expected=f"an answer within {ANSWER_SECONDS:g} s",
                found=error.strerror or str(error) or type(error).__name__,
                remedy="see that it runs, and that its admin socket is where the inventory says",
            ) from error


def _in(state: tuple[int, int] | None) -> bool:
    return state is not None and not state[1] & (MAINTENANCE | DRAINING)


def _connected(where: str) -> socket.socket:
    parts = SOCKET.fullmatch(where)
    if parts is None:
        raise OSError(f"not a socket: {where[:80]}")
    if parts["path"] is None:
        return socket.create_connection((parts["ipv6"] or parts["host"], int(parts["port"])), ANSWER_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_SECONDS)
    try:
        connection.connect(parts["path"])
    except OSError:
        connection.close()
        raise
    return connection


def _whole(connection: socket.socket) -> str:
    """Everything until the other side ends; `OSError` where it takes too long or is too much."""
    deadline, pieces, size = time.monotonic() + ANSWER_SECONDS, [], 0
    while piece := connection.recv(65_536):
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_ANSWER or time.monotonic() > deadline:
            raise OSError("an answer without end")
    return b"".join(pieces).decode("utf-8", "replace")
