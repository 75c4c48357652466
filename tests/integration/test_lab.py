"""The lab with its real programs: what it gives to its users, its faults, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.lab import Lab, LabError
from deploy.lab.blueprint import Frontend
from deploy.lab.daemon import MARK, Daemon, DaemonState
from deploy.lab.processes import Process, boot_id, family, has_variable, identify, is_alive
from deploy.lab.wait import wait_until
from inventory import loader
from orchestrator.cli.lab import app, default_directory, parse_apps
from orchestrator.domain.errors import LockstepError, UsageError

SCRIPT = Path(__file__).parents[2] / "workers" / "frontend" / "remote" / "lockstep-frontend"
FIRST = "1-00112233445566aa"
SECONDS = 30.0

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """For tests that change nothing but the trees' content."""
    with Lab.up(tmp_path_factory.mktemp("lab"), 3, apps={"ToDo": "/ToDo/", "Portal": "/Portal/"}) as lab:
        for frontend in lab.frontends:
            plant(lab, frontend.name)
        yield lab


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short name for a lab's directory, which is not there yet. What a failed test leaves in it is taken down."""
    directory = tmp_path_factory.mktemp("lab") / "lab"
    yield directory
    with contextlib.suppress(LabError):
        if (left := Lab.open(directory)) is not None:
            left.down()


@pytest.fixture
def lab(directory: Path) -> Iterator[Lab]:
    """A small one for tests that break it."""
    with Lab.up(directory, 2) as lab:
        yield lab


def plant(lab: Lab, name: str) -> None:
    """Make the frontend's tree, and have it serve one file that says whose it is."""
    root = lab.frontend(name).root
    script = ["sh", str(SCRIPT), str(root)]
    subprocess.run([*script, "init"], check=True, stdout=subprocess.DEVNULL)
    (root / "activations" / FIRST).mkdir(exist_ok=True)
    (root / "activations" / FIRST / "who.txt").write_text(name)
    subprocess.run([*script, "activate", FIRST], check=True, stdout=subprocess.DEVNULL)


def get(url: str) -> tuple[str, str]:
    """The body and the header Lockstep-Activation."""
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return answer.read().decode(), answer.headers["Lockstep-Activation"]


def ssh(
    lab: Lab, name: str, *options: str, words: str = "true", config: Path | None = None
) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-F", str(config or lab.blueprint.ssh_config), *options, name, words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)


@contextlib.contextmanager
def session(lab: Lab, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A login in which a command runs that ends only when it is ended."""
    argv = ["ssh", "-F", str(lab.blueprint.ssh_config), name, "sleep 3600; true"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        try:
            assert wait_until(lambda: "sleep" in commands(lab, name), SECONDS)
            yield client
        finally:
            client.kill()


def marked(lab: Lab, name: str) -> set[Process]:
    return family(lambda pid: has_variable(pid, MARK, [str(lab.frontend(name).sshd)]))


def commands(lab: Lab, name: str) -> set[str]:
    """The names of the processes that a frontend's sessions have started."""
    found = set()
    for process in marked(lab, name):
        with contextlib.suppress(OSError):
            found.add(Path(f"/proc/{process.pid}/comm").read_text().strip())
    return found


def kill(daemon: Daemon) -> None:
    """As from outside: the lab is not asked."""
    pid = daemon.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: daemon.state is DaemonState.DEAD, SECONDS)


def everything(lab: Lab) -> set[Process]:
    """All processes of the lab: the servers and what descends from them."""
    pids = {daemon.pid for daemon in lab.status().daemons}
    return family(lambda pid: pid in pids)


def naming(directory: Path) -> list[str]:
    """The command lines that name this directory, whoever started them."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                lines += [line] if f"{directory}/" in line else []
    return lines


def ports(frontend: Frontend) -> tuple[int, int]:
    return frontend.ssh_port, frontend.http_port


def in_rotation(lab: Lab, name: str, *, wanted: bool) -> bool:
    return wait_until(lambda: lab.rotation()[name].startswith("UP") is wanted, SECONDS)


class TestUp:
    def test_the_inventory_is_one_that_lockstep_reads(self, shared: Lab) -> None:
        (fleet,) = loader.load(shared.inventory_path).fleets
        assert fleet.key == "Lab/web"
        assert {app.name: app.mount for app in fleet.apps} == {"ToDo": "/ToDo/", "Portal": "/Portal/"}
        assert str(fleet.url).rstrip("/") == shared.url
        assert [(each.name, each.address, each.port, each.base_url, each.root) for each in fleet.frontends] == [
            (each.name, each.address, each.ssh_port, each.url, str(each.root)) for each in shared.frontends
        ]
        assert all(each.identity == str(shared.blueprint.client_key) for each in fleet.frontends)

    def test_the_inventory_names_the_load_balancer_whose_socket_is_the_lab_s_user_s_alone(self, shared: Lab) -> None:
        (fleet,) = loader.load(shared.inventory_path).fleets
        assert fleet.load_balancer is not None
        assert fleet.load_balancer.sockets == (f"unix://{shared.blueprint.admin_socket}",)
        servers = {fleet.load_balancer.server(each.name) for each in fleet.frontends}
        assert (fleet.load_balancer.backend, servers) == ("web", set(shared.rotation()))
        socket_file = shared.blueprint.admin_socket.stat()
        assert (socket_file.st_uid, socket_file.st_mode & 0o777) == (os.geteuid(), 0o600)

    def test_every_frontend_has_an_address_and_a_host_key_of_its_own(self, shared: Lab) -> None:
        (fleet,) = loader.load(shared.inventory_path).fleets
        assert len({each.address for each in fleet.frontends}) == 3
        assert len({each.host_key for each in fleet.frontends}) == 3

    def test_ssh_lets_the_user_in_under_the_key_that_the_inventory_pins(self, shared: Lab, tmp_path: Path) -> None:
        (fleet,) = loader.load(shared.inventory_path).fleets
        for each in fleet.frontends:
            pinned = tmp_path / each.name
            pinned.write_text(f"[{each.address}]:{each.port} {each.host_key}\n")
            answer = ssh(shared, each.name, "-o", f"UserKnownHostsFile={pinned}", words="id -un; echo $HOME")
            assert answer.stdout.split() == [each.user, f"{shared.frontend(each.name).sshd}/home"], answer.stderr

    def test_ssh_lets_nobody_in_with_another_key(self, shared: Lab, tmp_path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
        own = [line for line in shared.blueprint.ssh_config.read_text().splitlines() if "IdentityFile" not in line]
        (tmp_path / "ssh_config").write_text("\n".join([*own, f"  IdentityFile {tmp_path / 'key'}", ""]))
        answer = ssh(shared, "fe1", config=tmp_path / "ssh_config")
        assert answer.returncode == 255
        assert "Permission denied" in answer.stderr

    def test_the_servers_get_nothing_of_the_environment_in_which_the_lab_was_started(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOCKSTEP_SECRET_OF_THE_STARTER", "seen")
        with Lab.up(directory, 1) as lab:
            # The other servers write over what they were started with.
            environment = Path(f"/proc/{lab.haproxy.pid}/environ").read_bytes()
        assert MARK.encode() in environment
        assert b"LOCKSTEP_SECRET_OF_THE_STARTER" not in environment

    def test_the_load_balancer_spreads_requests_over_all_frontends(self, shared: Lab) -> None:
        assert all(in_rotation(shared, each.name, wanted=True) for each in shared.frontends)
        answers = Counter(get(f"{shared.url}/who.txt")[0] for _ in range(30))
        assert answers == {"fe1": 10, "fe2": 10, "fe3": 10}

    def test_a_request_is_found_in_the_access_log_with_its_activation_and_pin(self, shared: Lab) -> None:
        frontend = shared.frontends[1]
        request = urllib.request.Request(f"{frontend.url}/who.txt?logged", headers={"Cookie": 'lockstep=a"b'})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            assert answer.read() == b"fe2"

        def logged() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in frontend.access_log.read_text().splitlines()]
            return [line for line in lines if line["request"] == "GET /who.txt?logged HTTP/1.1"]

        assert wait_until(lambda: bool(logged()), SECONDS)
        (line,) = logged()
        assert line.pop("time") > 1_000_000_000
        assert line == {
            "request": "GET /who.txt?logged HTTP/1.1",
            "status": "200",
            "activation": FIRST,
            "pin": 'a"b',
        }

    def test_a_drained_frontend_leaves_the_rotation_and_comes_back(self, shared: Lab) -> None:
        drained = shared.frontend("fe3").root / "state" / "drained"
        assert in_rotation(shared, "fe3", wanted=True)
        drained.touch()
        assert in_rotation(shared, "fe3", wanted=False)
        drained.unlink()
        assert in_rotation(shared, "fe3", wanted=True)

    def test_a_second_lab_in_the_same_directory_is_refused_and_the_first_runs_on(self, shared: Lab) -> None:
        before = everything(shared)
        with pytest.raises(LabError, match="there is a lab already") as refused:
            Lab.up(shared.directory, 1)
        assert "lockstep lab down" in refused.value.remedy
        assert everything(shared) == before
        assert shared.status().runs

    def test_two_labs_live_side_by_side(self, shared: Lab, lab: Lab) -> None:
        # Seldom on the same network, but never at the same place.
        places = [(each.address, port) for one in (shared, lab) for each in one.frontends for port in ports(each)]
        assert len(set(places)) == len(places)
        assert shared.url != lab.url
        assert shared.status().runs
        assert lab.status().runs

    def test_a_directory_with_something_in_it_is_refused_and_left_as_it_is(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "mine").write_text("precious")
        with pytest.raises(LabError, match="not empty"):
            Lab.up(directory, 1)
        assert [path.name for path in directory.iterdir()] == ["mine"]

    @pytest.mark.parametrize("name", [".hidden", "with blank", "semi;colon", "x" * 90])
    def test_a_directory_whose_name_the_servers_could_not_take_is_refused(self, directory: Path, name: str) -> None:
        with pytest.raises(LabError, match="directory"):
            Lab.up(directory / name, 1)
        assert not directory.exists()

    @pytest.mark.parametrize("frontends", [0, 65])
    def test_a_number_of_frontends_that_is_no_lab_is_refused(self, directory: Path, frontends: int) -> None:
        with pytest.raises(LabError, match="that many frontends"):
            Lab.up(directory, frontends)
        assert not directory.exists()

    def test_a_lab_that_does_not_come_up_says_why_and_leaves_nothing(self, directory: Path) -> None:
        def broken(*, root: str, listen: Sequence[str], server_name: str = "_") -> str:
            return f"server {{ listen {listen[0]}; no_such_word {root} {server_name}; }}"

        with pytest.raises(LabError, match="fe1's nginx") as failed:
            Lab.up(directory, 2, recipe=broken)
        assert 'unknown directive "no_such_word"' in failed.value.found
        assert not directory.exists()
        assert naming(directory) == []

    def test_a_frontend_that_takes_no_login_is_said_and_leaves_nothing(
        self, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusing = tmp_path / "ssh"
        refusing.write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
        refusing.chmod(0o755)
        monkeypatch.setenv("LOCKSTEP_SSH", str(refusing))
        with pytest.raises(LabError, match="can't log in to fe1") as failed:
            Lab.up(directory, 1)
        assert "Permission denied" in failed.value.found
        assert not directory.exists()
        assert naming(directory) == []


class TestService:
    """Server actions, by way of HAProxy."""

    def call(self, lab: Lab, path: str, body: bytes = b'{"item": "bread"}', method: str = "POST") -> tuple[int, Any]:
        request = urllib.request.Request(f"{lab.url}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def test_the_action_saves_and_counts_wherever_the_app_is_mounted(self, lab: Lab) -> None:
        paths = ("/ToDo/screenservices/SaveItem", "/Portal/screenservices/SaveItem", "/screenservices/SaveItem")
        answers = [self.call(lab, path) for path in paths]
        assert answers == [(200, {"saved": "bread", "count": count}) for count in (1, 2, 3)]
        calls = [line for line in lab.service.log.read_text().splitlines() if "POST" in line]
        assert ["SaveItem HTTP/1.1" in line for line in calls] == [True] * 3

    @pytest.mark.parametrize(
        ("path", "body", "method", "status"),
        [
            ("/ToDo/screenservices/DropItem", b'{"item": "bread"}', "POST", 404),
            ("/ToDo/screenservices/SaveItem/", b'{"item": "bread"}', "POST", 404),
            ("/ToDo/screenservices/SaveItem", b"", "GET", 404),
            ("/ToDo/screenservices/SaveItem", b'{"item": 7}', "POST", 400),
            ("/ToDo/screenservices/SaveItem", b'["bread"]', "POST", 400),
            ("/ToDo/screenservices/SaveItem", b"[" * 60_000, "POST", 400),
            ("/ToDo/screenservices/SaveItem", b"\xff", "POST", 400),
            ("/ToDo/screenservices/SaveItem", bytes(70_000), "POST", 413),
        ],
    )
    def test_what_is_no_call_of_the_action_is_refused_and_saves_nothing(
        self, shared: Lab, path: str, body: bytes, method: str, status: int
    ) -> None:
        before = self.call(shared, "/ToDo/screenservices/SaveItem")[1]["count"]
        assert self.call(shared, path, body, method)[0] == status
        assert self.call(shared, "/ToDo/screenservices/SaveItem")[1]["count"] == before + 1

    def test_clients_that_say_nothing_do_not_keep_the_others_waiting(self, shared: Lab) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                silent = stack.enter_context(
                    socket.create_connection(("127.0.0.1", shared.blueprint.service_port), timeout=SECONDS)
                )
                silent.sendall(b"POST /ToDo/screenservices/SaveItem HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
            assert self.call(shared, "/ToDo/screenservices/SaveItem")[0] == 200

    def test_the_apps_files_come_from_the_frontends(self, shared: Lab) -> None:
        assert all(in_rotation(shared, each.name, wanted=True) for each in shared.frontends)
        assert get(f"{shared.url}/who.txt")[0] in {"fe1", "fe2", "fe3"}
        assert set(shared.rotation()) == {"fe1", "fe2", "fe3"}


class TestStatus:
    def test_everything_runs_and_says_what_it_serves(self, shared: Lab) -> None:
        status = shared.status()
        assert status.runs
        assert [each.name for each in status.frontends] == ["fe1", "fe2", "fe3"]
        assert all(daemon.pid is not None for daemon in status.daemons)

    def test_the_activation_that_a_frontend_names_is_shown(self, lab: Lab) -> None:
        assert isinstance(lab.status().frontends[0].activation, str)
        plant(lab, "fe1")
        document = lab.frontend("fe1").root / "activations" / FIRST / "-" / "activation.json"
        document.parent.mkdir()
        document.write_text('{"epoch": 7}')
        assert lab.status().frontends[0].activation == {"epoch": 7}

    @pytest.mark.parametrize("member", ["fe1 sshd", "fe2 nginx", "haproxy", "service"])
    def test_a_killed_process_is_dead_and_the_others_run(self, lab: Lab, member: str) -> None:
        daemons = {
            "fe1 sshd": lab.sshd("fe1"),
            "fe2 nginx": lab.nginx("fe2"),
            "haproxy": lab.haproxy,
            "service": lab.service,
        }
        kill(daemons[member])
        status = lab.status()
        assert not status.runs
        assert Counter(daemon.state for daemon in status.daemons) == {DaemonState.RUNNING: 5, DaemonState.DEAD: 1}

    def test_what_a_test_has_stopped_is_not_called_dead(self, lab: Lab) -> None:
        lab.stop_sshd("fe1")
        assert lab.status().frontends[0].sshd.state is DaemonState.STOPPED
        assert not lab.status().runs


class TestDown:
    def test_no_process_and_no_file_is_left(self, directory: Path) -> None:
        lab = Lab.up(directory, 3)
        plant(lab, "fe1")
        with session(lab, "fe2"):
            processes = everything(lab)
            # HAProxy, the service; of each frontend an sshd and an nginx with its worker; the session and its command.
            assert len(processes) >= 2 + 3 * 3 + 2
            lab.down()
        assert not any(is_alive(process) for process in processes)
        assert not directory.exists()
        assert naming(directory) == []

    def test_what_killed_servers_left_behind_is_found(self, directory: Path) -> None:
        lab = Lab.up(directory, 1)
        with session(lab, "fe1"):
            processes = everything(lab)
            kill(lab.sshd("fe1"))
            kill(lab.nginx("fe1"))
            left = {process for process in processes if is_alive(process)}
            # HAProxy, the service, nginx' worker, sshd's session and its command.
            assert len(left) >= 5
            lab.down()
        assert not any(is_alive(process) for process in left)
        assert not directory.exists()

    def test_what_a_session_left_behind_is_found(self, directory: Path) -> None:
        lab = Lab.up(directory, 1)
        assert ssh(lab, "fe1", words="setsid sleep 3600 </dev/null >/dev/null 2>&1 &").returncode == 0
        # The session's own processes are gone, and nothing leads from sshd to this one.
        assert wait_until(lambda: commands(lab, "fe1") == {"sleep"}, SECONDS)
        (left,) = marked(lab, "fe1")
        lab.down()
        assert not is_alive(left)

    def test_another_program_takes_it_down_by_the_directory_alone(self, directory: Path) -> None:
        processes = everything(Lab.up(directory, 1))
        found = Lab.open(directory)
        assert found is not None
        found.down()
        assert not any(is_alive(process) for process in processes)
        assert Lab.open(directory) is None

    def test_it_can_be_repeated(self, directory: Path) -> None:
        lab = Lab.up(directory, 1)
        lab.down()
        lab.down()
        assert not directory.exists()

    @pytest.mark.parametrize("stale", ["another boot", "another start"])
    def test_a_process_that_has_the_pid_by_now_is_not_ended(self, directory: Path, stale: str) -> None:
        lab = Lab.up(directory, 1)
        with subprocess.Popen(["sleep", "3600"]) as stranger:
            try:
                process = identify(stranger.pid)
                assert process is not None
                lab.stop_nginx("fe1")
                record = {"pid": process.pid, "start": process.start, "boot": boot_id()}
                record |= {"boot": "another"} if stale == "another boot" else {"start": process.start - 1}
                (lab.nginx("fe1").directory / "process.json").write_text(json.dumps(record))
                assert lab.nginx("fe1").state is DaemonState.DEAD
                lab.down()
                assert stranger.poll() is None
            finally:
                stranger.kill()
        assert not directory.exists()

    def test_a_reader_of_the_logs_is_not_ended(self, directory: Path) -> None:
        lab = Lab.up(directory, 1)
        with subprocess.Popen(["tail", "-f", str(lab.nginx("fe1").log)], stdout=subprocess.DEVNULL) as reader:
            try:
                lab.down()
                assert reader.poll() is None
            finally:
                reader.kill()

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}'])
    def test_another_file_of_that_name_is_left_as_it_is(self, directory: Path, text: str) -> None:
        directory.mkdir()
        (directory / "lab.json").write_text(text)
        with pytest.raises(LabError, match="not the file of a lab"):
            Lab.open(directory)
        assert (directory / "lab.json").read_text() == text

    def test_a_file_of_another_format_is_not_believed(self, lab: Lab) -> None:
        text = lab.blueprint.file.read_text()
        assert '"format": 2,' in text
        lab.blueprint.file.write_text(text.replace('"format": 2,', '"format": 1,'))
        with pytest.raises(LabError, match="not the file of a lab"):
            Lab.open(lab.directory)

    def test_a_lab_that_was_moved_is_not_believed(self, directory: Path, tmp_path: Path) -> None:
        with Lab.up(directory, 1) as lab:
            (tmp_path / "lab.json").write_text(lab.blueprint.file.read_text())
            with pytest.raises(LabError, match="not the file of a lab"):
                Lab.open(tmp_path)

    @needs_root
    def test_another_users_lab_is_not_believed(self, directory: Path) -> None:
        with Lab.up(directory, 1) as lab:
            os.chown(lab.blueprint.file, 65534, 65534)
            with pytest.raises(LabError, match="another user"):
                Lab.open(directory)

    def test_a_release_that_nobody_may_write_to_is_removed_all_the_same(self, directory: Path) -> None:
        lab = Lab.up(directory, 1)
        release = lab.frontend("fe1").root / "releases" / "ToDo" / "digest"
        release.mkdir(parents=True)
        (release / "index.html").touch(mode=0o444)
        release.chmod(0o555)
        lab.down()
        assert not directory.exists()


class TestFaults:
    def test_a_stopped_sshd_cuts_its_sessions_and_comes_back_with_its_key(self, lab: Lab) -> None:
        with session(lab, "fe1") as client:
            lab.stop_sshd("fe1")
            assert client.wait(SECONDS) == 255
        assert marked(lab, "fe1") == set()
        assert ssh(lab, "fe1").returncode == 255
        assert ssh(lab, "fe2").returncode == 0
        lab.start_sshd("fe1")
        assert ssh(lab, "fe1").returncode == 0

    def test_a_stopped_nginx_leaves_the_rotation_and_no_request_fails(self, lab: Lab) -> None:
        for frontend in lab.frontends:
            plant(lab, frontend.name)
        assert all(in_rotation(lab, each.name, wanted=True) for each in lab.frontends)
        lab.stop_nginx("fe1")
        assert {get(f"{lab.url}/who.txt")[0] for _ in range(8)} == {"fe2"}
        assert in_rotation(lab, "fe1", wanted=False)
        lab.start_nginx("fe1")
        assert get(f"{lab.frontend('fe1').url}/who.txt")[0] == "fe1"
        assert in_rotation(lab, "fe1", wanted=True)

    def test_starting_what_runs_changes_nothing(self, lab: Lab) -> None:
        before, servers = everything(lab), list(lab.status().daemons)
        lab.start_sshd("fe1")
        lab.start_nginx("fe1")
        # The process that answered the last look at the SSH server may still have been ending, or end now.
        assert wait_until(lambda: everything(lab) <= before, SECONDS)
        assert list(lab.status().daemons) == servers

    def test_a_frontend_serves_another_root_and_its_own_again(self, lab: Lab) -> None:
        plant(lab, "fe1")
        plant(lab, "fe2")
        url = f"{lab.frontend('fe1').url}/who.txt"
        lab.serve_elsewhere("fe1", lab.frontend("fe2").root)
        assert {get(url)[0] for _ in range(5)} == {"fe2"}
        lab.serve_elsewhere("fe1", lab.frontend("fe1").root)
        assert {get(url)[0] for _ in range(5)} == {"fe1"}

    def test_another_host_key_is_one_that_a_pinning_client_refuses(self, lab: Lab) -> None:
        lab.new_host_key("fe1")
        refused = ssh(lab, "fe1")
        assert refused.returncode == 255
        assert "verification failed" in refused.stderr
        assert ssh(lab, "fe2").returncode == 0

    @needs_root
    def test_a_small_disk_is_full_when_it_is_and_is_gone_afterwards(self, directory: Path) -> None:
        with Lab.up(directory, 2) as lab:
            root = lab.frontend("fe1").root
            lab.small_disk("fe1", 1_000_000)
            plant(lab, "fe1")
            with pytest.raises(OSError, match="No space left"):
                (root / "large").write_bytes(bytes(1_100_000))
            (lab.frontend("fe2").root / "large").write_bytes(bytes(1_100_000))
            assert get(f"{lab.frontend('fe1').url}/who.txt")[0] == "fe1"
        assert str(directory) not in Path("/proc/self/mountinfo").read_text()
        assert not directory.exists()

    @needs_root
    def test_a_small_disk_is_refused_over_a_tree(self, lab: Lab) -> None:
        plant(lab, "fe1")
        with pytest.raises(LabError, match="something at this root"):
            lab.small_disk("fe1", 1_000_000)

    def test_a_frontend_that_the_lab_does_not_have_is_named(self, lab: Lab) -> None:
        with pytest.raises(LabError, match="no such frontend") as refused:
            lab.stop_nginx("fe3")
        assert refused.value.expected == "fe1, fe2"


class TestCommand:
    """`lockstep lab …`, each in a Python of its own where the end of that Python matters."""

    def run(self, *words: str) -> tuple[int, Any]:
        answer = CliRunner().invoke(app, list(words), catch_exceptions=False)
        return answer.exit_code, answer.stdout

    def test_a_lab_outlives_the_command_that_started_it(self, directory: Path) -> None:
        start = [sys.executable, "-c", "from orchestrator.cli.lab import app; app()", "up", "--json"]
        words = ["--frontends", "2", "--app", "Portal=/", "--dir", str(directory)]
        pipe = subprocess.PIPE
        with subprocess.Popen([*start, *words], stdout=pipe, stderr=pipe, start_new_session=True) as begun:
            output, errors = begun.communicate(timeout=SECONDS * 2)
        assert begun.returncode == 0, errors
        document = json.loads(output)
        assert [each["name"] for each in document["frontends"]] == ["fe1", "fe2"]
        assert b"starting HAProxy" in errors
        # As a terminal that is closed does to those who were started in it: nobody is there.
        with pytest.raises(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGHUP)

        code, text = self.run("status", "--json", "--dir", str(directory))
        assert code == 0
        assert json.loads(text)["runs"] is True
        (fleet,) = loader.load(Path(document["inventory"])).fleets
        assert [(app.name, app.mount) for app in fleet.apps] == [("Portal", "/")]

        pid = json.loads(text)["frontends"][1]["nginx"]["pid"]
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: self.run("status", "--json", "--dir", str(directory))[0] == 1, SECONDS)
        code, text = self.run("status", "--dir", str(directory))
        assert code == 1
        assert text.count("dead") == 1
        assert text.count("running") == 5

        code, text = self.run("down", "--json", "--dir", str(directory))
        assert (code, json.loads(text)) == (0, {"directory": str(directory), "ended": True})
        assert not directory.exists()
        assert naming(directory) == []

    def test_down_without_a_lab_is_done(self, directory: Path) -> None:
        code, text = self.run("down", "--dir", str(directory))
        assert code == 0
        assert "no lab" in text

    def test_status_without_a_lab_is_an_error_with_its_remedy(self, directory: Path) -> None:
        with pytest.raises(LockstepError) as refused:
            self.run("status", "--dir", str(directory))
        assert "lockstep lab up" in refused.value.problem.remedy

    def test_the_labs_own_errors_keep_their_parts(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "mine").touch()
        with pytest.raises(LockstepError) as refused:
            self.run("up", "--dir", str(directory))
        assert refused.value.problem.where == str(directory)
        assert "--dir" in refused.value.problem.remedy

    @pytest.mark.parametrize("word", ["ToDo", "ToDo=", "ToDo=ToDo", "1=/x/", "=/x/", "A=/a/b/"])
    def test_a_word_that_is_no_app_is_refused(self, directory: Path, word: str) -> None:
        with pytest.raises(UsageError):
            self.run("up", "--dir", str(directory), "--app", word)
        assert not directory.exists()

    def test_an_app_named_twice_is_refused(self) -> None:
        with pytest.raises(UsageError):
            parse_apps(["A=/a/", "A=/b/"])

    def test_the_default_directory_is_one_in_which_a_lab_can_be(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            path = default_directory() / "haproxy" / "admin.sock.4194304.tmp"
            # Binding fails because nothing is there, not because the name is too long.
            with pytest.raises(FileNotFoundError):
                listener.bind(str(path))
