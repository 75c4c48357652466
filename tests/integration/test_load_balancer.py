"""Out of rotation and back, at real HAProxies: all must confirm, and what is no clear answer is no confirmation."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from deploy.lab import Lab
from inventory import loader
from inventory.model import LoadBalancer
from orchestrator.adapters.load_balancer import HaproxyLoadBalancer
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError, UsageError
from tests.integration.haproxy import Haproxy, haproxy
from tests.integration.nginx import await_condition, free_ports, nginx

MakeDirectory = Callable[[str], Path]
SERVERS = {"srv1": "9", "fe2": "9", "off": "9 disabled"}
#: A limit that the tests of silence wait for.
SHORT = 0.5


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short name, for sockets lie in it."""
    return tmp_path_factory.mktemp("h")


@pytest.fixture
def one(directory: Path) -> Iterator[Haproxy]:
    with haproxy(directory, SERVERS) as instance:
        yield instance


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Haproxy]:
    with haproxy(tmp_path_factory.mktemp("h"), SERVERS) as instance:
        yield instance


def balancer(*sockets: str, backend: str = "web", seconds: float = 5.0) -> HaproxyLoadBalancer:
    settings = LoadBalancer(kind="haproxy", sockets=sockets, backend=backend, servers={"fe1": "srv1"})
    return HaproxyLoadBalancer(settings, seconds)


def admin_state(instance: Haproxy, server: str, backend: str = "web") -> str:
    """HAProxy's word, read without the adapter."""
    rows = [line.split() for line in instance.ask(f"show servers state {backend}").splitlines()]
    return next(row[6] for row in rows if row[3:4] == [server])


class TestEveryHaproxy:
    def test_confirms_a_drain_and_a_readmission_by_unix_socket_and_by_tcp(self, one: Haproxy, other: Haproxy) -> None:
        both = balancer(one.socket(), other.tcp_socket)
        assert both.drain("fe1") == f"haproxy {one.socket()}, {other.tcp_socket}"
        assert (admin_state(one, "srv1"), admin_state(other, "srv1")) == ("1", "1")
        assert both.rotation(["fe1", "fe2"]) == {"fe1": False, "fe2": True}
        assert not both.uses("fe1")
        assert both.readmit("fe1") == f"haproxy {one.socket()}, {other.tcp_socket}"
        assert (admin_state(one, "srv1"), admin_state(other, "srv1")) == ("0", "0")
        assert both.rotation(["fe1", "fe2"]) == {"fe1": True, "fe2": True}

    def test_may_be_told_twice(self, one: Haproxy) -> None:
        for told in (balancer(one.socket()).drain, balancer(one.socket()).readmit):
            assert told("fe1") == told("fe1")

    def test_one_that_is_down_leaves_the_outcome_unknown_and_keeps_no_other_from_its_word(
        self, one: Haproxy, other: Haproxy
    ) -> None:
        one.stop()
        with pytest.raises(UnansweredError) as caught:
            balancer(one.socket(), other.socket()).drain("fe1")
        problem = caught.value.problem
        assert problem.where == one.socket()
        assert f"confirmed by {other.socket()}" in problem.found
        assert "see that HAProxy runs" in problem.remedy
        assert admin_state(other, "srv1") == "1"

    def test_those_that_hang_leave_the_outcome_unknown_and_cost_the_time_limit_once(
        self, one: Haproxy, other: Haproxy
    ) -> None:
        one.freeze()
        silent = (one.tcp_socket, one.socket(), one.socket("operator"), one.socket("user"))
        began = time.monotonic()
        with pytest.raises(UnansweredError) as caught:
            balancer(other.socket(), *silent, seconds=SHORT).drain("fe1")
        assert SHORT <= time.monotonic() - began < 3 * SHORT
        assert caught.value.problem.where == ", ".join(silent)

    def test_one_that_refuses_while_another_is_silent_is_no_refusal(self, one: Haproxy, other: Haproxy) -> None:
        one.stop()
        with pytest.raises(UnansweredError):
            balancer(other.socket("user"), one.socket()).drain("fe1")

    def test_is_asked_whether_it_uses_a_frontend_and_one_that_does_is_enough(
        self, one: Haproxy, other: Haproxy
    ) -> None:
        both = balancer(one.socket(), other.socket())
        one.stop()
        assert both.uses("fe1")
        balancer(other.socket()).drain("fe1")
        with pytest.raises(UnansweredError):
            both.uses("fe1")

    def test_must_use_a_frontend_before_it_is_in_rotation(self, one: Haproxy, other: Haproxy) -> None:
        balancer(one.socket()).drain("fe2")
        assert balancer(one.socket(), other.socket()).rotation(["fe1", "fe2"]) == {"fe1": True, "fe2": False}


class TestRefusals:
    def test_a_server_that_haproxy_does_not_know(self, one: Haproxy) -> None:
        told = balancer(one.socket())
        for ask in (told.drain, told.readmit, told.uses, lambda name: told.rotation([name])):
            with pytest.raises(RefusedError, match="web/fe9"):
                ask("fe9")

    def test_a_backend_that_haproxy_does_not_know(self, one: Haproxy) -> None:
        told = balancer(one.socket(), backend="nowhere")
        for ask in (told.drain, told.readmit, told.uses):
            with pytest.raises(RefusedError, match="nowhere"):
                ask("fe1")

    @pytest.mark.parametrize("level", ["user", "operator"])
    def test_a_socket_of_a_lower_level_is_named_with_it(self, one: Haproxy, level: str) -> None:
        with pytest.raises(RefusedError) as caught:
            balancer(one.socket(level)).drain("fe1")
        problem = caught.value.problem
        assert (problem.where, problem.found) == (one.socket(level), f"level {level}")
        assert "level admin" in problem.remedy
        assert admin_state(one, "srv1") == "0"

    def test_a_readmission_that_a_tracked_server_holds_back(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with haproxy(tmp_path_factory.mktemp("h"), {"srv1": "9 check"}) as instance:
            balancer(instance.socket()).drain("fe1")
            with pytest.raises(RefusedError) as caught:
                balancer(instance.socket(), backend="api").readmit("fe1")
            assert caught.value.problem.found == "inherited maintenance"

    @pytest.mark.parametrize("name", ["srv1 state ready", "srv1;quit", "srv1\nquit", "x/srv1", "", "x" * 64])
    def test_a_name_that_would_be_more_than_one_word_never_reaches_haproxy(self, one: Haproxy, name: str) -> None:
        with pytest.raises(UsageError):
            balancer(one.socket()).drain(name)


class TestStates:
    def test_a_server_that_the_configuration_has_disabled_is_out_until_it_is_readmitted(self, one: Haproxy) -> None:
        assert not balancer(one.socket()).uses("off")
        balancer(one.socket()).readmit("off")
        assert admin_state(one, "off") == "4"  # where its state came from, not what it is
        assert balancer(one.socket()).uses("off")

    def test_a_server_that_somebody_drains_softly_is_out_of_rotation_but_not_drained(self, one: Haproxy) -> None:
        one.ask("set server web/srv1 state drain")
        assert balancer(one.socket()).rotation(["fe1"]) == {"fe1": False}
        balancer(one.socket()).readmit("fe1")
        assert admin_state(one, "srv1") == "0"

    def test_servers_of_another_backend_that_track_a_drained_one_go_with_it(self, directory: Path) -> None:
        with haproxy(directory, {"srv1": "9 check"}) as instance:
            balancer(instance.socket()).drain("fe1")
            assert not balancer(instance.socket(), backend="api").uses("fe1")

    def test_a_readmitted_frontend_is_not_up_before_a_health_check_has_passed(self, directory: Path) -> None:
        (port,) = free_ports(1)
        site = f"server {{ listen 127.0.0.1:{port}; return 200 up; }}"
        with haproxy(directory, {"srv1": f"{port} check"}) as instance:
            told = balancer(instance.socket())
            with nginx(directory / "nginx", site, [port]):
                assert told.await_up("fe1", 30) == f"haproxy {instance.socket()}"
                told.drain("fe1")
                with pytest.raises(UnansweredError, match="well"):
                    told.await_up("fe1", SHORT)
            told.readmit("fe1")  # HAProxy calls it UP, from what it knew before the drain
            with pytest.raises(UnansweredError, match="well"):
                told.await_up("fe1", SHORT)
            with nginx(directory / "nginx", site, [port]):
                told.await_up("fe1", 30)

    def test_a_server_without_health_checks_is_up_at_once(self, one: Haproxy) -> None:
        balancer(one.socket()).await_up("fe1", 0)


class TestRestarts:
    def test_a_restarted_haproxy_has_forgotten_its_drains(self, one: Haproxy) -> None:
        balancer(one.socket()).drain("fe1")
        one.stop()
        one.start()
        assert balancer(one.socket()).uses("fe1")

    def test_one_that_reads_the_states_of_before_its_restart_has_not(self, one: Haproxy) -> None:
        balancer(one.socket()).drain("fe1")
        (one.directory / "states").write_text(one.ask("show servers state"))
        one.stop()
        one.start()
        assert not balancer(one.socket()).uses("fe1")
        assert balancer(one.socket()).readmit("fe1")


STATES = "1\n# be_id be_name srv_id srv_name srv_op_state srv_admin_state srv_check_state\n"
HOSTILE = {
    "nothing": b"",
    "no answer to the question": b"\n",
    "half a line end": b"1\n",
    "half a table": (STATES + "2 web 1 srv1 2 1 6").encode(),
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n\n\n",
    "no text": b"\xff\xfe\x00\x01\n\n",
    "control characters": b"\x1b]0;mine\x07\n\n",
    "a table of another format": STATES.replace("1\n", "2\n", 1).encode() + b"\n",
    "a table without a column that counts": (STATES.replace("srv_admin_state ", "") + "2 web 1 srv1 2 6\n\n").encode(),
    "a column twice": (STATES.replace("\n#", "\n# srv_name") + "srv1 2 web 1 srv1 2 1 6\n\n").encode(),
    "a row that is too short": (STATES + "2 web 1 srv1 2 1\n\n").encode(),
    "a state that is no number": (STATES + "2 web 1 srv1 2 0x1 6\n\n").encode(),
    "a state that is too long a number": (STATES + f"2 web 1 srv1 2 {'1' * 5000} 6\n\n").encode(),
    "a server twice": (STATES + "2 web 1 srv1 2 1 6\n2 web 1 srv1 2 0 6\n\n").encode(),
    "too much": b"x" * (3 << 20) + b"\n\n",
}
#: The second answer to `set` would be HAProxy's yes.
HOSTILE_TO = {
    f"{name}, to {command}": (command, answer)
    for command in ("set", "show")
    for name, answer in HOSTILE.items()
    if (command, answer) != ("set", b"\n")
}


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """A Unix socket that answers each connection's command so."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                answer(connection, connection.recv(1000))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],)).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class TestHostileAnswers:
    @pytest.mark.parametrize(("to", "hostile"), HOSTILE_TO.values(), ids=HOSTILE_TO.keys())
    def test_whatever_is_no_answer_of_haproxy_leaves_the_outcome_unknown(
        self, directory: Path, to: str, hostile: bytes
    ) -> None:
        def answer(connection: socket.socket, command: bytes) -> None:
            connection.sendall(hostile if command.startswith(to.encode()) else b"\n")

        with answering(directory / "s", answer) as where, pytest.raises(UnansweredError) as caught:
            balancer(where).drain("fe1")
        assert caught.value.problem.where == where
        assert len(caught.value.problem.found) <= 80
        assert caught.value.problem.found.isprintable()

    def test_an_answer_without_end_is_given_up_in_time(self, directory: Path) -> None:
        def drip(connection: socket.socket, command: bytes) -> None:
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)  # slowly, but more often than any limit on one read

        began = time.monotonic()
        with answering(directory / "s", drip) as where, pytest.raises(UnansweredError, match="not in time"):
            balancer(where, seconds=SHORT).drain("fe1")
        assert time.monotonic() - began < 4 * SHORT

    def test_an_answer_that_is_too_long_is_not_read_to_its_end(self, directory: Path) -> None:
        def flood(connection: socket.socket, command: bytes) -> None:
            while True:
                connection.sendall(b"x" * 65_536)

        with answering(directory / "s", flood) as where, pytest.raises(UnansweredError, match="without end"):
            balancer(where, seconds=30).drain("fe1")

    @pytest.mark.parametrize(
        ("state", "words"),
        [(0, "in use"), (2, "inherited maintenance"), (8, "forced drain"), (0x70, "inherited drain")],
    )
    def test_a_socket_that_says_yes_and_reads_back_another_state_is_refused(
        self, directory: Path, state: int, words: str
    ) -> None:
        def liar(connection: socket.socket, command: bytes) -> None:
            rows = f"{STATES}2 web 1 srv1 2 {state} 6\n\n".encode()
            connection.sendall(b"\n" if command.startswith(b"set") else rows)

        with answering(directory / "s", liar) as where, pytest.raises(RefusedError, match="reads back") as caught:
            balancer(where).drain("fe1")
        assert caught.value.problem.found.startswith(words)

    def test_another_backend_s_server_of_the_same_name_confirms_nothing(self, directory: Path) -> None:
        def answer(connection: socket.socket, command: bytes) -> None:
            connection.sendall(b"\n" if command.startswith(b"set") else f"{STATES}3 api 1 srv1 0 1 6\n\n".encode())

        with answering(directory / "s", answer) as where, pytest.raises(LockstepError):
            balancer(where).drain("fe1")


class Client(threading.Thread):
    """Asks the fleet again and again on one connection. `asked`: its begin, its end, its number, and who answered."""

    def __init__(self, lab: Lab, number: int) -> None:
        super().__init__()
        self.asked: list[tuple[float, float, str, str]] = []
        self.over = threading.Event()
        self.failures: list[str] = []
        self._lab, self._number = lab, number

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", int(self._lab.url.rpartition(":")[2]), timeout=30)
        while not self.over.is_set():
            name, began = f"{self._number}-{len(self.asked)}", time.monotonic()
            try:
                connection.request("GET", f"/who.txt?{name}")
                answer = connection.getresponse()
                who = answer.read().decode()
                self.asked.append((began, time.monotonic(), name, who))
                if answer.status != 200:
                    self.failures.append(f"{name}: {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{name}: {error!r}")
        connection.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.up(tmp_path_factory.mktemp("lab"), 3) as lab:
        for frontend in lab.frontends:
            tree = frontend.root
            (tree / "activations/1-00112233445566aa").mkdir(parents=True)
            (tree / "activations/1-00112233445566aa/who.txt").write_text(frontend.name)
            (tree / "current").symlink_to("activations/1-00112233445566aa")
        await_condition(lambda: all(word.startswith("UP") for word in lab.rotation().values()))
        yield lab


class TestUnderLoad:
    def test_no_request_that_begins_after_a_drain_reaches_the_frontend(self, lab: Lab) -> None:
        (fleet,) = loader.load(lab.inventory_path).fleets
        assert fleet.load_balancer is not None
        told = HaproxyLoadBalancer(fleet.load_balancer)
        clients = [Client(lab, number) for number in range(6)]
        out: list[tuple[float, float]] = []
        for client in clients:
            client.start()
        try:
            for _ in range(12):
                self._all_go_on(clients, 10)
                told.drain("fe2")
                drained = time.monotonic()
                self._all_go_on(clients, 20)
                out.append((drained, time.monotonic()))
                told.readmit("fe2")
                told.await_up("fe2", 30)
        finally:
            for client in clients:
                client.over.set()
            for client in clients:
                client.join()
        assert [failure for client in clients for failure in client.failures] == []
        asked = [each for client in clients for each in client.asked]
        # A request that had no answer yet when the frontend was readmitted may well have gone there.
        meant = {name for began, ended, name, _ in asked if any(start < began and ended < end for start, end in out)}
        assert len(meant) >= 12 * 6 * 18
        assert {who for _, _, name, who in asked if name in meant} == {"fe1", "fe3"}
        assert meant.isdisjoint(self._logged(lab, "fe2"))
        assert not meant.isdisjoint(self._logged(lab, "fe1"))
        assert sum(who == "fe2" for _, _, _, who in asked) >= 12

    def _all_go_on(self, clients: list[Client], requests: int) -> None:
        before = [len(client.asked) for client in clients]
        await_condition(
            lambda: all(len(client.asked) >= n + requests for client, n in zip(clients, before, strict=True)), 60
        )

    def _logged(self, lab: Lab, name: str) -> set[str]:
        """The numbers of the requests in a frontend's access log."""
        lines = lab.frontend(name).access_log.read_text().splitlines()
        requests = (json.loads(line)["request"] for line in lines)
        return {request.split()[1].partition("?")[2] for request in requests if "/who.txt?" in request}

    def test_a_request_in_flight_is_finished_and_the_next_on_its_connection_goes_elsewhere(
        self, directory: Path
    ) -> None:
        """The connection to the client stays; what was dispatched before the drain is not cut off."""
        arrived, go_on = threading.Event(), threading.Event()

        def slowly(listener: socket.socket) -> None:
            with suppress(OSError), listener.accept()[0] as connection:
                connection.recv(10_000)
                arrived.set()
                go_on.wait(30)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
                connection.recv(10_000)

        (port,) = free_ports(1)
        site = f"server {{ listen 127.0.0.1:{port}; return 200 other; }}"
        with socket.create_server(("127.0.0.1", 0)) as listener, nginx(directory / "nginx", site, [port]):
            thread = threading.Thread(target=slowly, args=(listener,))
            thread.start()
            try:
                with haproxy(directory, {"srv1": f"{listener.getsockname()[1]}", "fe2": str(port)}) as instance:
                    told = balancer(instance.socket())
                    told.drain("fe2")
                    client = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=30)
                    client.request("GET", "/")
                    assert arrived.wait(30)
                    told.readmit("fe2")
                    told.drain("fe1")
                    go_on.set()
                    assert client.getresponse().read() == b"slow"
                    connection = client.sock
                    for _ in range(5):
                        client.request("GET", "/")
                        assert client.getresponse().read() == b"other"
                    assert client.sock is connection
                    client.close()
            finally:
                go_on.set()
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()
