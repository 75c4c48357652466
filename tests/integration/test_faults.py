"""One frontend of eight goes wrong before the flip: every frontend stays on the old activation, and is told of."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.lab import Lab
from tests.integration.operator import PATIENCE, Operator, Said, tree, wait_until

FRONTENDS = 8
OLD, NEW = tree("app"), tree("app", changed={"scripts/part 3+ü.js": b"changed", "new.css": b"new"})
#: fe8's disk, in bytes. The one release fits on it, also twice; the other does not.
DISK = 32_000_000
FITS, LARGE = tree("fits", size=400_000), tree("large", size=800_000)
NEEDS_A_DISK = pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own for one frontend needs root")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("faults")
    with Lab.up(directory / "lab", FRONTENDS) as lab:
        if os.geteuid() == 0:
            lab.small_disk("fe8", DISK)
        made = Operator(directory, lab)
        with made.standalone():
            for version, files in (("1.0.0", OLD), ("2.0.0", NEW), ("3.0.0", FITS), ("4.0.0", LARGE)):
                made.builds(version, files)
            assert made.types("deploy", "web", "ToDo=1.0.0").code == 0
            yield made


@contextmanager
def expect_no_change(operator: Operator, frontend: str, *reasons: str) -> Iterator[list[Said]]:
    """What is done inside ends with exit code 1, names the frontend and the reason, and flips nobody."""
    before = operator.served()
    assert len(set(before.values())) == 1
    said: list[Said] = []
    with operator.observers() as observed:
        yield said
    (ended,) = said
    assert ended.code == 1, (ended.output, ended.messages)
    assert frontend in ended.output
    for reason in reasons:
        assert reason in ended.output, ended.output
    assert operator.served() == before
    observed.assert_clean()


def goes_well_again(operator: Operator) -> None:
    """After the fault is mended, the same deployment succeeds everywhere; and back, for the next test."""
    done = operator.types("deploy", "web", "ToDo=2.0.0")
    assert done.code == 0, done.output
    assert len(set(operator.served().values())) == 1
    assert operator.types("rollback", "web").code == 0


def hold(operator: Operator) -> str:
    """A deployment of the new version, staged and verified; its number."""
    return str(operator.reads("deploy", "web", "ToDo=2.0.0", "--hold")["id"])


def test_a_file_that_was_changed_on_one_frontend_after_staging(operator: Operator) -> None:
    digest = operator.reads("release", "show", "ToDo", "2.0.0")["digest"]
    with expect_no_change(operator, "fe3", "verify", "new.css", "is not what was staged") as said:
        number = hold(operator)
        path = operator.lab.frontend("fe3").root / "releases" / "ToDo" / digest / "new.css"
        path.chmod(0o644)
        path.write_bytes(b"NEW")
        said.append(operator.types("continue", number))
    goes_well_again(operator)


def test_a_file_that_was_added_on_one_frontend_after_staging(operator: Operator) -> None:
    digest = operator.reads("release", "show", "ToDo", "2.0.0")["digest"]
    with expect_no_change(operator, "fe4", "verify", "extra.js", "expected: nothing") as said:
        number = hold(operator)
        release = operator.lab.frontend("fe4").root / "releases" / "ToDo" / digest
        release.chmod(0o755)
        (release / "extra.js").write_bytes(b"extra")
        said.append(operator.types("continue", number))
    goes_well_again(operator)


def test_a_web_server_that_serves_another_directory(operator: Operator) -> None:
    lab = operator.lab
    with expect_no_change(operator, "fe2", "serves another manifest of ToDo") as said:
        # It is another frontend's tree: a good one, but not the one that is staged to, so nothing of the new release
        # that this frontend holds is served. fe1's looks right at first sight: it serves the same old activation.
        stale = lab.directory / "stale"
        _copy_current(lab.frontend("fe1").root, stale)
        lab.serve_elsewhere("fe2", stale)
        said.append(operator.types("deploy", "web", "ToDo=2.0.0"))
    lab.serve_elsewhere("fe2", lab.frontend("fe2").root)
    goes_well_again(operator)


def test_an_ssh_server_that_stops_before_the_flip(operator: Operator) -> None:
    with expect_no_change(operator, "fe5", "can't be reached over SSH") as said:
        number = hold(operator)
        operator.lab.stop_sshd("fe5")
        said.append(operator.types("continue", number))
    operator.lab.start_sshd("fe5")
    goes_well_again(operator)


def test_a_web_server_that_stops_before_the_flip(operator: Operator) -> None:
    before = operator.served()
    number = hold(operator)
    operator.lab.stop_nginx("fe1")
    ended = operator.types("continue", number)
    operator.lab.start_nginx("fe1")
    assert ended.code == 1
    assert "fe1" in ended.output
    assert "web server does not answer" in ended.output
    assert operator.served() == before
    goes_well_again(operator)


def test_a_frontend_that_answers_armed_too_late(operator: Operator) -> None:
    operator.policy(arm_seconds=2)
    frontend = operator.lab.frontend("fe7")
    with expect_no_change(operator, "fe7", "arm", "no answer in time") as said:
        number = hold(operator)
        # Arming takes the frontend's lock, verifying does not: whoever holds it makes the frontend late.
        with (frontend.root / "state" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said.append(operator.types("continue", number))
    # Now it may arm, and nobody listens any more: it stays on what it serves, and the epoch is fenced next time.
    operator.policy()
    goes_well_again(operator)


def test_a_wrong_host_key(operator: Operator) -> None:
    lab = operator.lab
    key = lab.frontend("fe6").host_key
    kept = {path: path.read_bytes() for path in (key, key.with_suffix(".pub"))}
    with expect_no_change(operator, "fe6", "shows another host key", "SHA256:") as said:
        lab.new_host_key("fe6")
        said.append(operator.types("deploy", "web", "ToDo=2.0.0"))
    lab.stop_sshd("fe6")
    for path, content in kept.items():
        path.write_bytes(content)
    lab.start_sshd("fe6")
    goes_well_again(operator)


def test_an_operator_who_aborts_a_held_deployment(operator: Operator) -> None:
    before = operator.served()
    number = hold(operator)
    assert operator.types("abort", number).code == 0
    assert operator.served() == before
    assert operator.reads("deployments", "show", number)["state"] == "aborted"
    for frontend in operator.lab.frontends:
        left = {path.name for path in (frontend.root / "activations").iterdir()}
        assert not {name for name in left if name.startswith(f"{number}-")}
    goes_well_again(operator)


@NEEDS_A_DISK
def test_a_disk_that_is_too_small_is_found_before_anything_is_sent(operator: Operator) -> None:
    objects = operator.lab.frontend("fe8").root / "objects"
    before = set(objects.iterdir())
    with expect_no_change(operator, "fe8", "stage", "too little space on the disk", "bytes free") as said:
        said.append(operator.types("deploy", "web", "ToDo=4.0.0"))
    assert set(objects.iterdir()) == before
    goes_well_again(operator)


@NEEDS_A_DISK
def test_a_disk_that_something_else_fills_while_objects_arrive(operator: Operator) -> None:
    root = operator.lab.frontend("fe8").root
    with ThreadPoolExecutor(1) as pool, expect_no_change(operator, "fe8", "stage", "No space left") as said:
        filled = pool.submit(_fill_once_something_arrives, root)
        said.append(operator.types("deploy", "web", "ToDo=3.0.0"))
        assert filled.result(PATIENCE) > 0
    (root / "filler").unlink()
    # What is left of the attempt must not keep the frontend from the next release.
    goes_well_again(operator)


def _fill_once_something_arrives(root: Path) -> int:
    """Take all that is left of the disk, once the frontend unpacks something there; how many bytes that was."""
    wait_until(lambda: any((root / "incoming").iterdir()))
    with (root / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"\0" * 65_536):
            pass
    return (root / "filler").stat().st_size


def _copy_current(root: Path, target: Path) -> None:
    """A tree that serves what `root` serves now, and will never have anything newer."""
    shutil.copytree(root, target, symlinks=True, ignore=shutil.ignore_patterns("incoming", "state"))
    (target / "state").mkdir()
