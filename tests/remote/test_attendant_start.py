"""How the attendant starts: which script it says that it is, what it needs for that, and where it finds itself."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote.attended import Attendant
from tests.remote.frontend import Frontend
from tests.remote.packs import activation_name, sha256
from tests.remote.shells import ATTENDED, Answer, answer_of
from tests.remote.test_attendant import STAGE, stage

pytestmark = pytest.mark.parametrize("shell", ["attendant"], indirect=True)

FOUR, FIVE, SIX = map(activation_name, (4, 5, 6))


def test_it_says_which_script_it_is_and_which_one_lies_there(frontend: Frontend) -> None:
    installed, new = frontend.root / "state/lockstep-frontend", frontend.root / "state/new"
    shutil.copy(frontend.shell.script, installed)
    own = replace(frontend, shell=replace(frontend.shell, script=installed))
    old = sha256(installed.read_bytes())
    with Attendant(own) as attendant:
        assert attendant.ready == f"READY {old}"
        new.write_bytes(b"echo replaced; exit 3\n" * 10_000)
        new.rename(installed)
        # Other commands run what lies there.
        assert f"script {sha256(installed.read_bytes())}" in attendant.do("probe").lines
        stage(attendant, STAGE)
        installed.unlink()
        assert attendant.do("probe").verdict == "FAILED io"


def test_replaced_just_when_it_starts_it_says_what_it_has_become(frontend: Frontend) -> None:
    """The shell has begun to read the old one when perl opens the new one."""
    installed, directory = frontend.root / "state/lockstep-frontend", frontend.root.parent / "bin"
    shutil.copy(frontend.shell.script, installed)
    new = installed.with_name("new")
    new.write_bytes(frontend.shell.script.read_bytes().replace(b"__DATA__", b"# another\n__DATA__"))
    expected = sha256(new.read_bytes())
    _perl(directory, f'mv {new} {installed}\nexec {shutil.which("perl")} "$@"')
    shell = replace(frontend.shell, script=installed, path=f"{directory}:{frontend.shell.path}")
    with Attendant(replace(frontend, shell=shell)) as attendant:
        assert attendant.ready == f"READY {expected}"
        assert f"script {expected}" in attendant.do("probe").lines


def _perl(directory: Path, program: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "perl").write_text(f"#!/bin/sh\n{program}\n")
    (directory / "perl").chmod(0o755)


@pytest.mark.parametrize("broken", ["exit 0", "exit 1", "exit 2", "exit 255", "kill -9 $$", "exec >&-; cat"])
def test_a_perl_that_does_not_work_says_nothing(frontend: Frontend, broken: str) -> None:
    _perl(frontend.root.parent / "bin", broken)
    shell = replace(frontend.shell, path=f"{frontend.root.parent}/bin:{frontend.shell.path}")
    attendant = Attendant(replace(frontend, shell=shell))
    assert attendant.ready == ""
    assert attendant.end()[0] == b""


def test_where_there_is_no_perl_that_is_said(frontend: Frontend) -> None:
    directory = frontend.root.parent / "bin"
    directory.mkdir()
    for name in ("sh", "tr", "cut", "printf"):
        found = shutil.which(name)
        if found is not None:
            (directory / name).symlink_to(found)
    plain = replace(frontend.shell, path=str(directory), attended=False)
    assert plain.run(frontend.root, "attend").verdict == "REFUSED noperl"


def test_what_would_make_perl_load_something_else_does_not_count(frontend: Frontend) -> None:
    none = {"PERL5OPT": "-Mnothing::there", "PERL5LIB": "/nowhere", "PERLLIB": "/nowhere"}
    hostile = {**none, "PERL5DB": "die", "PERL5DB_THREADED": "1"}
    with Attendant(replace(frontend, shell=replace(frontend.shell, more=hostile))) as attendant:
        assert attendant.ready == f"READY {sha256(frontend.shell.script.read_bytes())}"
        stage(attendant, STAGE)


def test_without_a_module_for_it_it_asks_the_system_for_the_time(frontend: Frontend) -> None:
    """Debian's smallest perl has no Time::HiRes."""
    directory = frontend.root.parent / "bin"
    _perl(directory, f'exec {shutil.which("perl")} -I{directory} -MNone "$@"')
    (directory / "None.pm").write_text("unshift @INC, sub { die if $_[1] =~ /HiRes/; undef }; 1\n")
    shell = replace(frontend.shell, path=f"{directory}:{frontend.shell.path}")
    frontend.place(fence=4, current=4, staged={4, 5})
    began = time.time()
    with Attendant(replace(frontend, shell=shell)) as attendant:
        told = next(each for each in attendant.do("probe").lines if each.startswith("clock "))
        at = float(told.removeprefix("clock "))
        assert began - 1e-6 <= at <= time.time() or (at == 0 and os.uname().machine not in {"x86_64", "aarch64"})


@pytest.mark.parametrize("broken", ["exit 1", "exit 0", "echo; echo x", f"echo {'0' * 64} *./x", "exec cat"])
def test_an_openssl_that_does_not_work_is_none(frontend: Frontend, broken: str) -> None:
    directory = frontend.root.parent / "bin"
    directory.mkdir()
    (directory / "openssl").write_text(f"#!/bin/sh\n{broken}\n")
    (directory / "openssl").chmod(0o755)
    shell = replace(frontend.shell, path=f"{directory}:{frontend.shell.path}")
    with Attendant(replace(frontend, shell=shell)) as attendant:
        stage(attendant, STAGE)
    assert frontend.has(STAGE)


def test_without_sha256sum_it_is_not_ready(frontend: Frontend) -> None:
    directory = frontend.root.parent / "bin"
    directory.mkdir()
    (directory / "perl").symlink_to(str(shutil.which("perl")))
    attendant = Attendant(replace(frontend, shell=replace(frontend.shell, path=str(directory))))
    assert attendant.ready == ""
    said, _, exit_ = attendant.end()
    assert said == b""
    assert exit_ != 0


@pytest.mark.parametrize("root", ["relative", "/tmp/../tmp", "/tmp//x", "/tmp/", "/tmp/$(id)", "/tmp/x\n", "/", ""])
def test_only_a_plain_absolute_path_is_a_root(frontend: Frontend, root: str) -> None:
    shell = replace(frontend.shell, attended=False)
    assert shell.run(root, "attend").verdict == "REFUSED words"


def test_a_tree_that_comes_and_goes(frontend: Frontend) -> None:
    aside = frontend.root.with_name("aside")
    frontend.root.rename(aside)
    with Attendant(frontend) as attendant:
        for command in ATTENDED - {b"arm", b"init"}:
            assert attendant.do(command, FIVE, stdin=b"0 0 probe\n").verdict == "REFUSED uninitialised"
        assert not frontend.root.exists()
        aside.rename(frontend.root)
        stage(attendant, STAGE)


def test_the_answer_to_a_command_of_its_own_is_that_of_the_only_one(frontend: Frontend) -> None:
    """At the end of its input, the exit code is that of a command or none."""
    frontend.place(fence=4, current=4, staged={4})
    attendant = Attendant(frontend)
    answer = attendant.do("verify", SIX)
    assert answer == Answer(10, [f"REFUSED unstaged activations/{SIX} is not there"])
    assert attendant.end()[2] in {0, 10}
    script = replace(frontend.shell, attended=False)
    assert script.run(frontend.root, "verify", SIX) == answer_of(10, f"{answer.lines[0]}\n".encode())
