"""HAProxy's Runtime API at one admin socket: its commands, and what an answer may look like.

Source: HAProxy's management guide, "Unix Socket commands". Each command has a connection of its own, and each answer
ends with an empty line, by which half an answer is told from a whole one. What is not exactly as the guide says is an
unknown outcome.
"""

from __future__ import annotations

import csv
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag

from inventory.model import SOCKET
from inventory.problem import shown
from orchestrator.domain.errors import RefusedError, UnansweredError, UsageError

#: How long a command may take from the first packet to the end of its answer, in seconds.
ANSWER_SECONDS = 5.0
#: The longest answer that is read, in bytes: some ten thousand servers.
LONGEST_ANSWER = 2 << 20
#: `srv_op_state`: up, and not warming up any more.
RUNNING = 2
#: Of `srv_check_state`: the server has health checks.
CHECKED = 0x02

_COMMAND = re.compile(r"[a-z]+(?: [A-Za-z0-9_.:/-]+)+")
_NUMBER = re.compile(r"[0-9]{1,10}")
_STATES = ("srv_op_state", "srv_admin_state", "srv_check_state")
_STATISTICS = ("check_rise", "check_fall", "check_health")


class Admin(IntFlag):
    """`srv_admin_state`: why a server is not used, however well it is.

    0x04 and 0x40 are left out: they tell where a state came from, and stay after `ready` has ended it.
    """

    FORCED_MAINTENANCE = 0x01
    INHERITED_MAINTENANCE = 0x02
    FORCED_DRAIN = 0x08
    INHERITED_DRAIN = 0x10
    UNRESOLVED_NAME = 0x20

    def __str__(self) -> str:
        names = [str(flag.name).lower().replace("_", " ") for flag in Admin if flag in self]
        return ", ".join(names) or "in use"


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a backend, as HAProxy has it now. `checked`: it has health checks."""

    admin: Admin
    running: bool
    checked: bool


@dataclass(frozen=True, slots=True)
class RuntimeApi:
    """One HAProxy. Every method raises `UnansweredError` where the outcome is unknown and `RefusedError` for a no."""

    where: str
    seconds: float = ANSWER_SECONDS

    def set_state(self, backend: str, server: str, state: str) -> None:
        """Tell it ``maint`` or ``ready`` of a server."""
        answer = self._ask(f"set server {backend}/{server} state {state}")
        if answer:
            self._refuse(answer, f"{backend}/{server}")

    def servers(self, backend: str) -> Mapping[str, Server]:
        """The servers of a backend by their names."""
        answer = self._ask(f"show servers state {backend}")
        version, _, table = answer.partition("\n# ")
        if version != "1":
            self._refuse(answer, backend)
        rows = self._rows(
            [line.split(" ") for line in table.split("\n")], answer, _STATES, backend, ("be_name", "srv_name")
        )
        return {
            name: Server(
                admin=Admin(int(row["srv_admin_state"]) & sum(Admin)),
                running=int(row["srv_op_state"]) == RUNNING,
                checked=bool(int(row["srv_check_state"]) & CHECKED),
            )
            for name, row in rows.items()
        }

    def passed(self, backend: str) -> Mapping[str, bool]:
        """Of the servers with health checks: whether the newest check has passed.

        `ready` has HAProxy take a server for well, with one failure to go, before it has checked anything. The count
        tells the two apart, but not where ``fall`` is 1.
        """
        answer = self._ask(f"show stat {backend} 4 -1")
        if not answer.startswith("# "):
            self._refuse(answer, backend)
        try:
            table = list(csv.reader(answer[2:].split("\n"), strict=True))
        except csv.Error as error:
            raise self._garbled(answer) from error
        return {
            name: int(row["check_health"]) == int(row["check_rise"]) + int(row["check_fall"]) - 1
            for name, row in self._rows(table, answer, _STATISTICS, backend, ("pxname", "svname")).items()
        }

    def _rows(
        self, table: list[list[str]], answer: str, numbers: tuple[str, ...], backend: str, names: tuple[str, str]
    ) -> Mapping[str, Mapping[str, str]]:
        """The rows of a backend's servers below a header, by server. `numbers` are the columns that hold some.

        `names` are the columns with the names of backend and server. A row whose first number is missing is that of a
        server without health checks, and left out.
        """
        header, *lines = table
        if any(header.count(name) != 1 for name in (*names, *numbers)):
            raise self._garbled(answer)
        rows: dict[str, Mapping[str, str]] = {}
        for line in lines:
            if len(line) != len(header):
                raise self._garbled(answer)
            row = dict(zip(header, line, strict=True))
            if row[names[0]] != backend or not row[numbers[0]]:
                continue
            server = row[names[1]]
            if server in rows or not all(_NUMBER.fullmatch(row[name]) for name in numbers):
                raise self._garbled(answer)
            rows[server] = row
        return rows

    def _refuse(self, answer: str, subject: str) -> None:
        """`RefusedError` where the answer is one of HAProxy's refusals, else `UnansweredError`."""
        if answer == "Permission denied":
            raise RefusedError(
                f"HAProxy lets nobody change {subject} by this socket",
                where=self.where,
                expected="a socket of level admin",
                found=f"level {self._level()}",
                remedy="write `level admin` behind this `stats socket` in haproxy.cfg",
            )
        if answer in ("No such server.", "No such backend.", "Can't find backend.", "No such proxy."):
            raise RefusedError(
                f"HAProxy does not know {subject}",
                where=self.where,
                expected="a backend and a server that are in haproxy.cfg",
                found=answer,
                remedy="correct backend or servers in the fleet's load_balancer, or haproxy.cfg",
            )
        if answer.startswith("Unknown command"):
            raise RefusedError(
                "HAProxy does not know the command here",
                where=self.where,
                expected="a `stats socket` of HAProxy 2.4 or later",
                found="Unknown command",
                remedy="name the `stats socket`, not the socket of the master process (-S)",
            )
        raise self._garbled(answer)

    def _level(self) -> str:
        try:
            level = self._ask("show cli level")
        except UnansweredError:
            return "unknown"
        return shown(level, 20)

    def _garbled(self, answer: str) -> UnansweredError:
        return self._unanswered("an answer that is not HAProxy's", shown(answer) or "nothing")

    def _unanswered(self, what: str, found: str) -> UnansweredError:
        return UnansweredError(
            f"HAProxy did not answer: {what}",
            where=self.where,
            expected=f"an answer within {self.seconds:g} s",
            found=found,
            remedy="see that HAProxy runs, that its admin socket is there, and that this account may use it",
        )

    def _ask(self, command: str) -> str:
        """The answer to one command, without the line ends behind it."""
        if _COMMAND.fullmatch(command) is None:
            raise UsageError("a name that HAProxy can't have", where=self.where, found=shown(command))
        deadline = time.monotonic() + self.seconds
        try:
            with self._connected() as connection:
                connection.sendall(f"{command}\n".encode())
                raw = self._read(connection, deadline)
        except TimeoutError as error:
            raise self._unanswered("not in time", "no answer") from error
        except OSError as error:
            raise self._unanswered("not at all", error.strerror or str(error)) from error
        try:
            answer = raw.decode("ascii")
        except UnicodeDecodeError as error:
            raise self._garbled(raw.decode("ascii", "backslashreplace")) from error
        if answer != "\n" and not answer.endswith("\n\n"):
            raise self._unanswered("half an answer", shown(answer) or "nothing")
        return answer.rstrip("\n")

    def _connected(self) -> socket.socket:
        parts = SOCKET.fullmatch(self.where)
        if parts is None:
            raise UsageError("not an admin socket", found=shown(self.where))
        if parts["path"] is None:
            return socket.create_connection((parts["ipv6"] or parts["host"], int(parts["port"])), self.seconds)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(self.seconds)
            connection.connect(parts["path"])
        except OSError:
            connection.close()
            raise
        return connection

    def _read(self, connection: socket.socket, deadline: float) -> bytes:
        """All until HAProxy closes the connection. `TimeoutError` after the deadline, however much comes before it."""
        read = bytearray()
        while len(read) <= LONGEST_ANSWER:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            block = connection.recv(65_536)
            if not block:
                return bytes(read)
            read += block
        raise self._unanswered("without end", f"more than {LONGEST_ANSWER:,} bytes")
