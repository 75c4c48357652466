"""Network namespaces without names.

A namespace ends with the last process in it and the last descriptor of it, so nothing is left behind, not even where
the run is killed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace, with nothing in it but loopback."""

    def __init__(self) -> None:
        own = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            try:
                self.descriptor = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
            finally:
                _enter(own)
        finally:
            os.close(own)
        self.run("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    @property
    def path(self) -> str:
        """By which other processes find it."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens and starts until the context ends is in the namespace, and so are its new threads."""
        own = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self.descriptor)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)

    def run(self, *argv: str, given: str = "") -> str:
        """Run a command in it to its end, and return what it says. `CalledProcessError` where it fails."""
        with self.inside():
            return subprocess.run(argv, input=given, text=True, check=True, capture_output=True, timeout=60).stdout


def _enter(descriptor: int) -> None:
    _check(_libc.setns(descriptor, CLONE_NEWNET))


def _check(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
