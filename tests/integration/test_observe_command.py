"""`lockstep observe` as its own process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.nginx import free_ports
from tests.integration.observed_site import Site, activation, observed_site
from tests.integration.observing import BOUND


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with observed_site(tmp_path) as running:
        running.stage(1, {"index.html": b"<html>one</html>", "app.js": b"script one"})
        running.activate(activation(1))
        yield running


def started(url: str, *options: str) -> subprocess.Popen[str]:
    code = "from orchestrator.cli import main; main()"
    command = [sys.executable, "-c", code, "observe", url, "--app", "App", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_progress(process: subprocess.Popen[str], pattern: str) -> None:
    """Read progress until a line matches; the end of it fails."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(pattern, line):
            return
    raise AssertionError(f"no progress matched {pattern}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_the_result_is_printed_all_the_same(site: Site, number: signal.Signals) -> None:
    with started(site.url, "--json", "--until-stopped", "--duration", "0.1") as process:
        await_progress(process, r" [1-9]\d* checks ")
        process.send_signal(number)
        out, _ = process.communicate(timeout=BOUND)
    document = json.loads(out)
    assert process.returncode == 0, document
    assert document["checks"] > 0
    assert (document["url"], document["app"], document["clients"]) == (site.url, "App", 8)
    none = {"completed": 0, "failed": 0, "missed": 0}
    assert document["behaviours"] == {"lockstep": {"clients": 8, **none}}


@pytest.mark.parametrize("given", [["--as", "lockstep,stock"], ["--as", "stock", "--as", "lockstep"]])
@pytest.mark.parametrize("options", [["--json"], []])
def test_clients_are_shared_out_among_behaviours_and_say_how_their_upgrades_ended(
    site: Site, given: list[str], options: list[str]
) -> None:
    site.stage(2, {"index.html": b"<html>two</html>", "app.js": b"script two"})
    with started(site.url, "--until-stopped", "--clients", "4", *given, *options) as process:
        await_progress(process, r" epoch 1$")
        site.activate(activation(2))
        await_progress(process, r" upgrades 4 ")
        process.terminate()
        out, _ = process.communicate(timeout=BOUND)
    assert process.returncode == 0, out
    for behaviour in ("lockstep", "stock"):
        if options:
            ended = {"completed": 2, "failed": 0, "missed": 0}
            assert json.loads(out)["behaviours"][behaviour] == {"clients": 2, **ended}
        else:
            assert f"2 {behaviour} clients: upgrades 2 completed, 0 failed, 0 missed" in out


@pytest.mark.parametrize("options", [["--json"], []])
def test_the_command_says_what_it_found_and_exits_with_1(site: Site, options: list[str]) -> None:
    site.by_path(1, "index.html").write_bytes(b"other")
    with started(site.url, "--until-stopped", "--clients", "2", *options) as process:
        await_progress(process, r" torn [1-9]")
        process.terminate()
        out, _ = process.communicate(timeout=BOUND)
    assert process.returncode == 1
    assert f"{site.url}/App/index.html" in out
    if options:
        assert json.loads(out)["torn"] > 0


def test_nothing_checked_when_the_time_is_over_is_no_success() -> None:
    (port,) = free_ports(1)
    with started(f"http://127.0.0.1:{port}", "--json", "--duration", "0.5") as process:
        out, _ = process.communicate(timeout=BOUND)
    assert process.returncode == 1
    assert json.loads(out)["checks"] == 0


@pytest.mark.parametrize(
    "options",
    [
        *(["--clients", "0"], ["--duration", "0"], ["--duration", "nan"], ["--clients", "x"], ["--mount", "x"]),
        *(["--as", "android"], ["--as", ""], ["--as", "stock,,lockstep"], ["--as", "stock,lockstep", "--clients", "1"]),
    ],
)
def test_what_can_not_be_understood_exits_with_2(options: list[str]) -> None:
    with started("http://127.0.0.1:1", *options) as process:
        process.communicate(timeout=BOUND)
    assert process.returncode == 2
