"""HAProxy's answers, over a real socket: what its Runtime API says, and what the load balancer makes of it."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from inventory.model import LoadBalancer
from orchestrator.adapters.haproxy import LONGEST_ANSWER, Admin, RuntimeApi, Server
from orchestrator.adapters.load_balancer import HaproxyLoadBalancer
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError
from tests.fuzz.mutation import mutate_bytes, odd_text, pick
from tests.fuzz.sockets import Replier
from tests.fuzz.target import Target

#: What is asked, and the answer.
Said = tuple[str, bytes]

SECONDS = 5.0
_STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_check_state
3 web 1 f1 10.0.0.1 2 0 1 1 6
3 web 2 f2 10.0.0.2 0 1 1 1 6
3 web 3 f3 10.0.0.3 2 4 1 1 0

"""
_STATISTICS = """\
# pxname,svname,status,check_status,check_rise,check_fall,check_health,
web,f1,UP,L7OK,2,3,4,
web,f2,DOWN,"L4CON, twice",2,3,0,
web,f3,no check,,,,,

"""
_REFUSALS = (
    *("\n", "No such server.\n\n", "No such backend.\n\n", "Can't find backend.\n\n", "Permission denied\n\n"),
    *("Unknown command: 'x'\n\n", "No such proxy.\n\n", "", "\n\n\n", "1\n\n", "2\n# x\n\n"),
)
#: What is asked, and how a good answer begins.
ASKED = ("servers", "passed", "set", "uses", "rotation", "up")
_PIECES = tuple(
    piece.encode()
    for piece in (
        *(
            "\n\n",
            "\n# ",
            "1\n# ",
            "be_name ",
            "srv_name ",
            "srv_admin_state ",
            " web ",
            " f1 ",
            ",",
            '"',
            '""',
            "web,f1,",
        ),
        *("check_health,", "pxname,", "-1", "99999999999", "0x1", "\u0661", "\r\n", "1 1 1 1", "srv_op_state"),
    )
)


class Haproxies(Target[Said]):
    """One answer of a HAProxy."""

    name = "haproxy"
    short = 1000

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstep-fuzz-")
        path = Path(self._directory.name, "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(16)
        self._replier = Replier(listener)
        self._api = RuntimeApi(f"unix://{path}", SECONDS)
        settings = LoadBalancer(kind="haproxy", sockets=(f"unix://{path}",), backend="web")
        self._balancer = HaproxyLoadBalancer(settings, SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replier.close()
        self._directory.cleanup()

    def make(self, random: Random) -> Said:
        asked = pick(random, ASKED)
        match random.randrange(16):
            case 0:
                return asked, pick(random, _REFUSALS).encode()
            case 1:
                return asked, mutate_bytes(random, pick(random, _REFUSALS).encode(), _PIECES)
            case 2 if random.random() < 0.02:
                return asked, pick(
                    random, (b"x" * (LONGEST_ANSWER + 2), b"1\n# " + b" " * LONGEST_ANSWER, b"\n" * LONGEST_ANSWER)
                )
            case 2 | 3:
                return asked, _other_cell(random, asked)
        return asked, mutate_bytes(random, _good(asked), _PIECES)

    def check(self, made: Said) -> bool:
        asked, reply = made
        self._replier.reply = reply
        try:
            found = self._ask(asked)
        except LockstepError as error:
            assert type(error) in (RefusedError, UnansweredError), type(error)
            str(error).encode()
            assert all(line.isprintable() for line in str(error).split("\n")), str(error)
            assert len(str(error)) < 3000
            # Half an answer says nothing, however well it begins.
            assert isinstance(error, UnansweredError) or reply.endswith(b"\n\n"), error
            return False
        assert reply.endswith(b"\n")
        assert reply.isascii()
        _CHECKS[asked](found)
        return True

    def _ask(self, asked: str) -> Any:
        match asked:
            case "servers":
                return self._api.servers("web")
            case "passed":
                return self._api.passed("web")
            case "set":
                return self._api.set_state("web", "f1", "maint")
            case "uses":
                return self._balancer.uses("f1")
            case "up":
                return self._balancer.await_up("f1", 0)
        return self._balancer.rotation(("f1", "f2"))


def _good(asked: str) -> bytes:
    return {"passed": _STATISTICS, "set": "\n"}.get(asked, _STATE).encode()


def _other_cell(random: Random, asked: str) -> bytes:
    """One cell of the table holds something else."""
    comma = asked == "passed"
    lines = _good("passed" if comma else "servers").decode().split("\n")
    row = random.randrange(len(lines))
    cells = lines[row].split("," if comma else " ")
    cell = pick(random, ("", "0", "-", "-1", "2", "63", "64", "4294967296", "1e3", "f1", "web", odd_text(random)))
    cells[random.randrange(len(cells))] = cell
    lines[row] = ("," if comma else " ").join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _check_servers(found: Mapping[str, Server]) -> None:
    for name, server in found.items():
        assert re.fullmatch(r"[^\n ]*", name)
        assert 0 <= server.admin <= sum(Admin)
        assert str(server.admin).isprintable()


def _check_nothing(found: object) -> None:
    assert found is None


def _check_bools(found: Mapping[str, bool]) -> None:
    assert all(isinstance(value, bool) for value in found.values())


def _check_rotation(found: Mapping[str, bool]) -> None:
    _check_bools(found)
    assert set(found) == {"f1", "f2"}


def _check_bool(found: object) -> None:
    assert isinstance(found, bool)


def _check_confirmed(found: str) -> None:
    assert found.startswith("haproxy unix://")


_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "servers": _check_servers,
    "passed": _check_bools,
    "set": _check_nothing,
    "uses": _check_bool,
    "up": _check_confirmed,
    "rotation": _check_rotation,
}
