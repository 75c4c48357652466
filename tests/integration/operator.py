"""An operator at a terminal: a home, a lab, the processes of Lockstep, and commands typed as people type them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from ruamel.yaml import YAML

from deploy.lab import Lab
from tests.integration.prompt import Prompt, Typed

#: A command in the background.
Running = subprocess.Popen[str] | Typed

LOCKSTEP = (sys.executable, "-m", "orchestrator.cli")
#: How long anything may take that a test waits for, in seconds: far beyond what it takes on a busy machine.
PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    output: str
    messages: str

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.output)


class Operator:
    """Commands against one lab, in one home; each ends within `patience` seconds.

    Where there is a `prompt`, they are typed there, but for those that are `cold`: what a thread has entered, a network
    say, the prompt is not in. A bench has none: it measures what a person waits for.
    """

    prompt: ClassVar[Prompt | None] = None

    def __init__(
        self,
        directory: Path,
        lab: Lab,
        environment: Mapping[str, str] | None = None,
        *,
        patience: float = PATIENCE,
        cold: bool = False,
    ) -> None:
        self.patience = patience
        self._prompt = None if cold else self.prompt
        self.directory = directory
        self.lab = lab
        self.home = directory / "home"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LOCKSTEP_")},
            "LOCKSTEP_HOME": str(self.home),
            "LOCKSTEP_INVENTORY": str(lab.inventory_path),
            **(environment or {}),
        }

    def types(self, *words: str) -> Said:
        """Run `lockstep WORDS…`."""
        if self._prompt is not None:
            return Said(*self._prompt.run(words, self.environment, self.patience))
        done = subprocess.run(
            [*LOCKSTEP, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def reads(self, *words: str) -> Any:
        """The JSON of a command that succeeds."""
        said = self.types(*words, "--json")
        assert said.code == 0, (said.output, said.messages)
        return said.document

    def builds(self, version: str, files: Mapping[str, bytes], app: str = "ToDo") -> None:
        """A release of these files."""
        tree = self.directory / "trees" / app / version
        for path, content in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        assert self.types("release", "build", str(tree), "--app", app, "--version", version).code == 0

    @contextmanager
    def inventory(self) -> Iterator[Any]:
        """The fleet in the lab's inventory, for changes."""
        with self._environment() as environment:
            yield environment["fleets"]["web"]

    @contextmanager
    def _environment(self) -> Iterator[Any]:
        yaml = YAML()
        yaml.width = 4096
        document = yaml.load(self.lab.inventory_path)
        yield document["environments"]["Lab"]
        yaml.dump(document, self.lab.inventory_path)

    def distributes(self, **apps: str) -> None:
        """Set how apps are distributed in the lab's environment, in place of what it says."""
        with self._environment() as environment:
            environment["distribution"] = apps

    def policy(self, **settings: object) -> None:
        """Set the fleet's policy in the lab's inventory, in place of the one it has."""
        with self.inventory() as fleet:
            fleet["policy"] = settings

    def served(self) -> dict[str, str]:
        """What each frontend says that it serves to a client that was never there: its activation."""
        found = {}
        for status in self.lab.status().frontends:
            document = status.activation
            found[status.name] = document["activation"] if isinstance(document, dict) else document
        return found

    @contextmanager
    def running(self, *words: str, until: str = "", program: Sequence[str] = (), nice: int = 0) -> Iterator[Running]:
        """A command in the background, ended with SIGTERM; begins when its messages hold `until`."""
        log = self.directory / f"{len(list(self.directory.glob('*.messages')))}.messages"
        with log.open("w") as messages:
            process = self._starts(words, program, messages, nice)
            try:
                wait_until(lambda: until in log.read_text() or process.poll() is not None)
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(PATIENCE)
                if process.stdout is not None:
                    process.stdout.close()

    def _starts(self, words: Sequence[str], program: Sequence[str], messages: IO[str], nice: int) -> Running:
        if self._prompt is not None and not program:
            return self._prompt.start(words, self.environment, messages, nice)
        argv = ["nice", "-n", str(nice), *(program or LOCKSTEP), *words]
        return subprocess.Popen(argv, env=self.environment, stdout=subprocess.PIPE, stderr=messages, text=True)

    @contextmanager
    def standalone(self, *options: str) -> Iterator[None]:
        """Broker, worker and beat; no server unless `options` give it a port."""
        with self.running("standalone", *(options or ("--no-server",)), until="ready"):
            yield

    @property
    def api_url(self) -> str:
        """Where the server listens."""
        return (self.home / "api.url").read_text().strip()

    @contextmanager
    def observers(self, clients: int = 4) -> Iterator[Observed]:
        """Clients behind HAProxy until the context ends; then what they saw."""
        watch = ("observe", self.lab.url, "--app", "ToDo", "--clients", str(clients), "--until-stopped", "--json")
        observed = Observed()
        # They ask as fast as they can: what they watch comes first.
        with self.running(*watch, until="checks", nice=10) as process:
            yield observed
            process.send_signal(signal.SIGTERM)
            observed.document = json.loads(process.communicate(timeout=PATIENCE)[0])


@dataclass
class Observed:
    """What observers counted, once they ended."""

    document: Any = None

    def assert_clean(self) -> None:
        """They saw something, and nothing wrong."""
        assert self.document["checks"] > 0
        assert (self.document["torn"], self.document["backward"], self.document["errors"]) == (0, 0, 0), self.document


def fetch(url: str, *options: str) -> str:
    """What curl gets there: the answer's headers, an empty line, and the body; "" where nobody answers."""
    words = ["curl", "-sgi", "--noproxy", "*", *options, url]
    return subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE).stdout.decode(errors="replace")


def wait_until(condition: Callable[[], bool]) -> None:
    """Until it holds; the test fails after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def tree(
    seed: str, files: int = 24, size: int = 20_000, changed: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """An app's files, the same for the same seed, and some of them changed."""
    source = random.Random(seed)
    made = {f"scripts/part {n}+ü.js": source.randbytes(size) for n in range(files)}
    return {"index.html": f"<!doctype html><title>{seed}</title>".encode(), **made, **(changed or {})}
