"""A real PostgreSQL server for the tests: its own cluster in a short temporary directory, on a Unix socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

#: The server refuses to run as root, so root hands the cluster to the first of these accounts that exists.
ACCOUNTS = ("postgres", "nobody")

#: How long the server may take to start or to stop, in seconds.
PATIENCE = 60

#: The database that `initdb` makes.
DATABASE = "postgres"

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "100",
    # What an administrator may have set, and the ledger must not depend on: commits that a crash forgets (the log is
    # written long after them), another isolation of transactions, another time zone.
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "default_transaction_isolation": "serializable",
    "timezone": "Pacific/Auckland",
}


class Postgres:
    """A cluster and its server. `sockets` is the directory of the Unix socket; the one role is `lockstep`."""

    def __init__(self, programs: Path, directory: Path, account: pwd.struct_passwd | None) -> None:
        self.sockets = directory
        self._programs = programs
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = DATABASE) -> str:
        """The URL of one of its databases."""
        return f"postgresql://lockstep@/{database}?host={quote(str(self.sockets), safe='')}"

    def connect(self, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the test's own, past the ledger, in autocommit."""
        return psycopg.connect(host=str(self.sockets), user="lockstep", dbname=database, autocommit=True)

    def empty_database(self) -> str:
        """The URL of the one database of the tests, emptied: to make one takes the server ten times as long."""
        with self.connect() as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url(DATABASE)

    def reload(self, connection: psycopg.Connection[tuple[Any, ...]], setting: str, value: str) -> None:
        """Have the server read its settings again, and wait until `setting` has the value that was written."""
        connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + PATIENCE
        while connection.execute("SELECT current_setting(%s)", [setting]).fetchone() != (value,):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{setting} does not become {value}\n{self._log()}")
            time.sleep(0.02)

    def initialise(self) -> None:
        """Make the cluster."""
        data = self.sockets / "data"
        options: list[str | Path] = ["-D", data, "-U", "lockstep", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        if self._run([self._programs / "initdb", *options]).wait(PATIENCE) != 0:
            raise RuntimeError(f"initdb failed\n{self._log()}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        data = self.sockets / "data"
        self._process = self._run([self._programs / "postgres", "-D", data, "-k", self.sockets, *settings])
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{self._log()}") from error
                time.sleep(0.02)
            else:
                return

    def start_again(self) -> None:
        """Start it after `kill`, as soon as the last of its old processes has let go of the cluster."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.start()
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def stop(self) -> None:
        """End the server fast, but in order. No harm where it does not run."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End the server as a power cut would: what it has not written yet is lost."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """End the server's first process, as the kernel does where memory runs out; the others notice by themselves."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def _run(self, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        user, group = (None, None) if self._account is None else (self._account.pw_uid, self._account.pw_gid)
        extra = None if self._account is None else ()
        with (self.sockets / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.sockets, stdout=log, stderr=log, user=user, group=group, extra_groups=extra
            )

    def _log(self) -> str:
        return (self.sockets / "log").read_text()


def programs() -> Path | None:
    """The directory of `initdb` and `postgres`: on PATH, or where Debian keeps its newest; None where there is none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in installed), key=lambda path: float(path.parent.name), default=None)


@contextmanager
def running() -> Iterator[Postgres]:
    """A new cluster, started, and gone afterwards. Skips the test where PostgreSQL is not installed."""
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql/*/bin")
    account = _account() if os.getuid() == 0 else None
    # A socket's path has at most 107 bytes, so not below pytest's own directories.
    directory = Path(tempfile.mkdtemp(prefix="ls-pg-", dir="/tmp"))
    server = Postgres(where, directory, account)
    try:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        server.initialise()
        server.start()
        yield server
    finally:
        # Nobody needs the data any more, so nothing has to be written in order.
        server.crash()
        shutil.rmtree(directory)


def _account() -> pwd.struct_passwd:
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip(f"PostgreSQL refuses to run as root, and there is no account {' or '.join(ACCOUNTS)}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run; each test makes its own database."""
    with running() as server:
        yield server
