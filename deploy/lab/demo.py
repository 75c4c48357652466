"""The demo: a fleet of real servers on this machine, two releases, a rollback, and clients that watch all the while.

    python -m deploy.lab.demo --frontends 8

Every step is a command that an operator could type. The last line of standard output is one JSON object; the exit
code is 0 only if no client saw anything torn, backward or broken, and every frontend serves what the ledger says.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from deploy.lab.sample import write_sample

OBSERVERS = 8
READY_SECONDS = 60
FLEET = "Lab/web"
APP = "ToDo"


class Demo:
    """The commands, in a home of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lab = directory / "lab"
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LOCKSTEP_")},
            **{
                key: value
                for key, value in os.environ.items()
                if key.endswith(("_NGINX", "_HAPROXY", "_SERVER", "_SSHD"))
            },
            "LOCKSTEP_HOME": str(directory / "home"),
            "LOCKSTEP_INVENTORY": str(self._lab / "inventory.yml"),
            "LOCKSTEP_LAB": str(self._lab),
        }

    def lockstep(self, *words: str) -> Any:
        """Run `lockstep WORDS… --json` and return what it printed; `SystemExit` where it failed.

        On a terminal its live progress is shown; elsewhere it is kept, and shown where the command fails.
        """
        say(f"$ lockstep {' '.join(words)}")
        messages = None if sys.stderr.isatty() else subprocess.PIPE
        done = subprocess.run(
            [*COMMAND, *words, "--json"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"lockstep {' '.join(words)} failed with {done.returncode}:\n{done.stdout}{done.stderr or ''}")
        return json.loads(done.stdout)

    @contextmanager
    def running(self, *words: str, ready: str = "") -> Iterator[subprocess.Popen[str]]:
        """A command in the background, ended with SIGTERM; waits until its messages hold `ready`."""
        say(f"$ lockstep {' '.join(words)} &")
        log = self.directory / f"{words[0]}.log"
        with log.open("w") as messages:
            process = subprocess.Popen(
                [*COMMAND, *words], env=self._environment, stdout=subprocess.PIPE, stderr=messages, text=True
            )
            try:
                wait_for(lambda: ready in log.read_text(), process, log)
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(READY_SECONDS)

    @contextmanager
    def lab(self, frontends: int) -> Iterator[Any]:
        """The fleet."""
        try:
            yield self.lockstep("lab", "up", "--frontends", str(frontends))
        finally:
            subprocess.run([*COMMAND, "lab", "down"], env=self._environment, check=True, capture_output=True)


COMMAND = (sys.executable, "-m", "orchestrator.cli")


def say(text: str) -> None:
    """One line for the person who watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def wait_for(condition: Any, process: subprocess.Popen[str], log: Path) -> None:
    """Until the condition holds; `SystemExit` where the process ends before, or after `READY_SECONDS`."""
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{log.stem} is not ready: {log.read_text()[-1000:]}")
        time.sleep(0.05)


def served(frontends: Sequence[Any]) -> dict[str, str]:
    """What each frontend answers to a client that was never there before."""
    found = {}
    for frontend in frontends:
        url = f"http://{frontend['nginx']['address']}/-/lockstep/activation"
        with urlopen(url, timeout=10) as answer:
            found[frontend["name"]] = json.load(answer)["activation"]
    return found


def tell(deployment: Any, seconds: float) -> None:
    """What a deployment did, in a line."""
    apps = ", ".join(f"{app} {release['version']}" for app, release in deployment["apps"].items())
    say(
        f"  {deployment['kind']} {deployment['id']}: epoch {deployment['epoch']} serves {apps} on "
        f"{len(deployment['frontends'])} frontends after {seconds:.1f} s; all flipped within {deployment['skew_ms']} ms"
    )


def timed(demo: Demo, *words: str) -> Any:
    """A deployment, told."""
    began = time.monotonic()
    deployment = demo.lockstep(*words)
    tell(deployment, time.monotonic() - began)
    return deployment


def run(directory: Path, frontends: int) -> dict[str, Any]:
    """The whole story; returns its figures."""
    demo = Demo(directory)
    for number, version in ((1, "1.0.0"), (2, "2.0.0")):
        write_sample(directory / version, version, number)
    with demo.lab(frontends) as lab, demo.running("standalone", "--port", "0", ready="ready"):
        for version in ("1.0.0", "2.0.0"):
            built = demo.lockstep("release", "build", str(directory / version), "--app", APP, "--version", version)
            say(f"  {built['files']} files, {built['size'] / 1e6:.1f} MB, digest {built['digest']}")
        deployments = [timed(demo, "deploy", FLEET, f"{APP}=1.0.0")]
        watch = ("observe", lab["url"], "--app", APP, "--clients", str(OBSERVERS), "--until-stopped", "--json")
        with demo.running(*watch, ready="checks") as observer:
            deployments.append(timed(demo, "deploy", FLEET, f"{APP}=2.0.0"))
            deployments.append(timed(demo, "rollback", FLEET))
            observer.send_signal(signal.SIGTERM)
            observed = json.loads(observer.communicate(timeout=READY_SECONDS)[0])
        (status,) = demo.lockstep("status", FLEET)["fleets"]
        found = served(lab["frontends"])
    return summary(deployments, observed, status, found)


def summary(deployments: Sequence[Any], observed: Any, status: Any, found: dict[str, str]) -> dict[str, Any]:
    """The figures, and what they mean."""
    agree = sum(activation == status["activation"] for activation in found.values())
    say(f"\n{OBSERVERS} clients behind HAProxy checked {observed['checks']} answers in {observed['seconds']} s:")
    say(f"  torn (a listed file missing or with other bytes): {observed['torn']}")
    say(f"  backward (an older epoch after a newer one):      {observed['backward']}")
    say(f"  errors (no answer, or one without sense):         {observed['errors']}")
    apps = ", ".join(f"{app} {version}" for app, version in status["apps"].items())
    say(f"{agree} of {len(found)} frontends serve what the ledger says: epoch {status['epoch']}, {apps}\n")
    return {
        "frontends": len(found),
        "agree": agree,
        "deployments": len(deployments),
        "checks": observed["checks"],
        "torn": observed["torn"],
        "backward": observed["backward"],
        "errors": observed["errors"],
        "skew_ms": max(deployment["skew_ms"] for deployment in deployments),
    }


def passed(figures: dict[str, Any]) -> bool:
    """Whether the demo may exit with 0. No check is no proof."""
    clean = figures["torn"] == figures["backward"] == figures["errors"] == 0
    return bool(clean and figures["checks"] > 0 and figures["agree"] == figures["frontends"])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frontends", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lockstep-demo-") as directory:
        figures = run(Path(directory), given.frontends)
    say(json.dumps(figures))
    return 0 if passed(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
