"""SSH to a frontend: the only importer of Fabric and Paramiko.

One connection per frontend serves every command of a deployment, and then those of the next one (`Connections`). The
host key is pinned by the inventory; a server that shows another one is not talked to. Measured on loopback, Paramiko,
connect and first command: 61 ms and 44 ms, with TCP_NODELAY 16 ms and 2 ms; 100 MB through one channel: 218 MB/s, with
aes128-gcm 265 MB/s.

CPU of this process, two shared cores: connect 7.5 to 10 ms, and 5.7 to 7.4 where Fabric's configuration
and the private key are read once; an idle connection 0.28 ms a second, 0.05 where its thread looks up once a second.
The key exchange is curve25519 with ed25519 and aes128-gcm where the server has them: none is cheaper.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import paramiko
from fabric import Connection

from inventory import hostkey
from inventory.model import Frontend
from orchestrator.domain.errors import RefusedError, UnansweredError
from workers.frontend.answers import printable
from workers.frontend.attendant import Attend, Attendant
from workers.frontend.commands import Command, shell_line
from workers.frontend.conversation import Conversation, lost, place

CONNECT_SECONDS = 10.0
#: How soon to ask again for a channel where sshd allows no other just now, in seconds.
FREE_SECONDS = 0.05
#: For commands that neither hash nor move content, in seconds.
SHORT_SECONDS = 30.0
#: How long a connection may be silent before it is tried, in seconds.
KEEPALIVE_SECONDS = 15
#: How long what was sent may go unacknowledged before the connection counts as lost, in seconds. What waits in a socket
#: is seen by no limit of a command: without this, a frontend that is cut off in the middle of a transfer keeps its
#: worker, and with it the abort, until the system gives up, a quarter of an hour later.
LOST_SECONDS = 30
#: How often the thread of a connection that nobody uses looks whether it was told to end, in seconds. Paramiko's own
#: 0.1 costs a thousand connections a quarter of a processor; who closes one wakes it.
LOOK_SECONDS = 1.0
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

T_co = TypeVar("T_co", covariant=True)


class Answerable(Protocol[T_co]):
    """A command: argv out, its answer parsed."""

    def argv(self) -> tuple[str, ...]:
        """The command line."""
        ...

    @property
    def parse(self) -> Callable[[bytes, int | None], T_co]:
        """The answer's meaning."""
        ...


class Session:
    """An open connection. Safe to use from several threads.

    Commands that the frontend's attendant knows go to it, where there is one that has no other work; every other has a
    channel of its own.
    """

    def __init__(self, frontend: Frontend, connection: Connection) -> None:
        self.frontend = frontend
        self._connection = connection
        self._running: list[Conversation] = []
        self._lock = threading.Lock()
        self._attendant = Attendant(frontend, self._attend)

    @property
    def busy(self) -> bool:
        """Whether a command runs whose conversation nobody has closed."""
        with self._lock:
            return self._attendant.at_work or any(not running.closed for running in self._running)

    def answers(self, limit: float) -> bool:
        """Whether the other end answers within `limit` seconds: a channel is opened, in which nothing runs."""
        try:
            self._connection.transport.open_session(timeout=limit).close()
        except paramiko.ChannelException:
            # It is one that allows no other channel just now.
            return True
        except (paramiko.SSHException, EOFError, OSError):
            return False
        return True

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this end knows."""
        return bool(self._connection.is_connected)

    def ask(
        self, command: Answerable[T_co], *, limit: float, stdin: Iterable[bytes] = (), size: int | None = None
    ) -> T_co:
        """Run `command` and parse its answer. `limit` is in seconds; `size` are the bytes of `stdin`, where known.

        Raises:
            RefusedError: the frontend said no.
            UnansweredError: no answer in time, a lost connection, or an answer that can't be understood.
        """
        if isinstance(command, Command) and command.attended and (size is not None or stdin == ()):
            said = self._attendant.do(command, stdin, size or 0, limit)
            if said is not None:
                return self._understood(command, "", *said)
        conversation = self.converse(command.argv(), limit=limit)
        try:
            conversation.feed(stdin)
        except BaseException:
            conversation.close()
            raise
        return self.finish(command, conversation)

    def _understood(self, command: Answerable[T_co], stderr: str, stdout: bytes, status: int | None) -> T_co:
        """The parsed answer; what the frontend wrote to standard error goes into the problem where there is none."""
        try:
            return command.parse(stdout, status)
        except UnansweredError as error:
            stderr = printable(stderr)
            problem = error.problem
            raise UnansweredError(
                problem.what,
                where=self.frontend.name,
                expected=problem.expected,
                found=f"{problem.found}; on standard error: {stderr}" if stderr else problem.found,
                remedy=problem.remedy,
            ) from error

    def begin(self, command: Command, *, limit: float) -> Conversation:
        """Start a command that is talked with. `limit` in seconds bounds all that follows, up to `finish`."""
        lent = self._attendant.lend(command, limit) if command.attended else None
        return lent or self.converse(command.argv(), limit=limit)

    def finish(self, command: Answerable[T_co], conversation: Conversation) -> T_co:
        """The parsed answer, as far as it has not been heard, of a command that was begun; the conversation is over.

        Errors as of `ask`.
        """
        back = None
        try:
            back = self._attendant.back(conversation)
            stdout, status = back or conversation.finish()
        finally:
            if back is None:
                conversation.close()
        return self._understood(command, conversation.complaints, stdout, status)

    def finished(self, conversation: Conversation) -> bool:
        """Whether `finish` would wait for nothing: the whole answer is here. Safe to ask as often as one likes."""
        if self._attendant.lends(conversation):
            return conversation.answered or conversation.ended
        return conversation.over

    def install(self) -> None:
        """Have this Lockstep's script in its place; who attends is that of it. Errors as of `ask`."""
        self._attendant.install(SHORT_SECONDS)

    def converse(self, argv: Sequence[str], *, limit: float) -> Conversation:
        """Start a command line in a channel of its own. `limit` in seconds bounds all that follows."""
        conversation = self._start(argv, limit)
        with self._lock:
            self._running = [conversation, *(other for other in self._running if not other.closed)]
        return conversation

    def _attend(self, command: Attend, limit: float) -> Conversation:
        return self._start(command.argv(), min(limit, CONNECT_SECONDS))

    def _start(self, argv: Sequence[str], limit: float) -> Conversation:
        try:
            channel = self._channel(min(limit, CONNECT_SECONDS))
            channel.exec_command(shell_line(argv))
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise lost(self.frontend, error) from error
        return Conversation(self.frontend, channel, limit)

    def _channel(self, limit: float) -> paramiko.Channel:
        """A new one. sshd allows so many at a time (MaxSessions), and counts one until its process has ended."""
        transport: paramiko.Transport = self._connection.transport
        deadline = time.monotonic() + limit
        while True:
            try:
                return transport.open_session(timeout=limit)
            except paramiko.ChannelException:
                if time.monotonic() > deadline:
                    raise
            self._attendant.rest()
            time.sleep(FREE_SECONDS)

    def close(self) -> None:
        """Close the connection; commands that still run get end of file."""
        transport = self._connection.transport
        with suppress(paramiko.SSHException, EOFError, OSError):
            if transport is not None and isinstance(transport.sock, socket.socket):
                # Its thread reads: it sees the end at once.
                transport.sock.shutdown(socket.SHUT_RDWR)
        with suppress(paramiko.SSHException, EOFError, OSError):
            self._connection.close()


def connect(frontend: Frontend, limit: float = CONNECT_SECONDS) -> Session:
    """Log in. ~/.ssh/config counts (a jump host, say), but for the host key, which the inventory pins.

    Raises:
        RefusedError: another host key, or the login was refused.
        UnansweredError: the frontend can't be reached.
    """
    kind, key = pinned(frontend)
    connection = Connection(frontend.address, user=frontend.user, port=frontend.port)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    name = connection.host if connection.port == paramiko.config.SSH_PORT else f"[{connection.host}]:{connection.port}"
    client.get_host_keys().add(name, kind, key)
    connection.client = client
    connection.connect_kwargs.update(_login(frontend, limit))
    try:
        if connection.gateway is None:
            connection.connect_kwargs["sock"] = _socket(connection.host, connection.port, limit)
        connection.open()
    except paramiko.BadHostKeyException as error:
        connection.close()
        raise _other_host_key(frontend, error.key) from error
    except paramiko.AuthenticationException as error:
        connection.close()
        raise RefusedError(
            "the login was refused",
            where=place(frontend),
            expected=f"a login as {frontend.user} with {frontend.identity or 'a key of the SSH agent or ~/.ssh'}",
            found=str(error),
            remedy="put the worker's public key into the account's authorized_keys",
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        connection.close()
        raise lost(frontend, error) from error
    _notice_loss(connection)
    return Session(frontend, connection)


def pinned(frontend: Frontend) -> tuple[str, paramiko.PKey]:
    """The type and the host key that the inventory pins; `RefusedError` where its numbers make no key."""
    kind, blob = hostkey.parse(frontend.host_key)
    try:
        return kind, paramiko.PKey.from_type_string(kind, blob)
    except (paramiko.SSHException, ValueError, OverflowError) as error:
        raise RefusedError(
            "the host key in the inventory is not a key",
            where=place(frontend),
            expected=f"a public key of type {kind}",
            found=printable(str(error)),
            remedy="copy it again, from `ssh-keyscan` or the server's /etc/ssh/ssh_host_*_key.pub",
        ) from error


def _stamp(path: Path) -> tuple[int, int]:
    """Time (ns) and size of a file, zeros where there is none to be read."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=16)
def _parsed(path: str, _key: tuple[int, int], _certificate: tuple[int, int]) -> paramiko.PKey | None:
    """A private key and its certificate; None where it can't be read: Paramiko says why when it tries."""
    try:
        return paramiko.PKey.from_path(path)
    except Exception:
        return None


def _login(frontend: Frontend, limit: float) -> dict[str, Any]:
    given = frontend.identity is not None
    path = str(Path(frontend.identity).expanduser()) if frontend.identity else ""
    key = _parsed(path, _stamp(Path(path)), _stamp(Path(f"{path}-cert.pub"))) if path else None
    return {
        "pkey": key,
        "key_filename": [path] if path and key is None else None,
        "look_for_keys": not given,
        "allow_agent": not given,
        "timeout": limit,
        "banner_timeout": limit,
        "auth_timeout": limit,
        "channel_timeout": limit,
        "transport_factory": _transport,
    }


def _transport(sock: socket.socket, **options: Any) -> paramiko.Transport:
    transport = paramiko.Transport(sock, **options)
    security = transport.get_security_options()
    rest = tuple(cipher for cipher in security.ciphers if cipher not in FAST_CIPHERS)
    security.ciphers = (*FAST_CIPHERS, *rest)
    return transport


def _socket(address: str, port: int, limit: float) -> socket.socket:
    sock = socket.create_connection((address, port), timeout=limit)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _notice_loss(connection: Connection) -> None:
    """Have a connection end whose other end is gone without a word; and so the one to the jump host below it."""
    transport = connection.transport
    transport.set_keepalive(KEEPALIVE_SECONDS)
    if isinstance(transport.sock, socket.socket):
        transport.sock.settimeout(LOOK_SECONDS)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_SECONDS * 1000)
    if isinstance(connection.gateway, Connection):
        _notice_loss(connection.gateway)


def _other_host_key(frontend: Frontend, key: paramiko.PKey) -> RefusedError:
    shown = f"{key.get_name()} {key.get_base64()}"
    return RefusedError(
        "the frontend shows another host key",
        where=place(frontend),
        expected=hostkey.fingerprint(frontend.host_key),
        found=hostkey.fingerprint(shown),
        remedy="find out why; if the server was set up anew, put its key into the inventory",
    )
