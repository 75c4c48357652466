"""When each frontend's `current` changes: one instrument for every tool, beside them and not a part of them.

A process of its own, `python -m tests.bench.flips ROOT…`: it waits for the kernel's word (inotify) that something
named `current` came to be in a root, and takes the time (CLOCK_MONOTONIC) when it wakes. Where it may, it runs under
SCHED_FIFO, so that it wakes at once on a busy machine too.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.bench.child import Child

#: inotify(7): something was made there, or moved there.
IN_CREATE, IN_MOVED_TO = 0x100, 0x80
#: struct inotify_event, before its name: the watch, mask, cookie, and the length of the name.
EVENT = struct.Struct("iIII")
PRIORITY = 50


def events(data: bytes) -> Iterator[tuple[int, str]]:
    """Each event's watch and name."""
    offset = 0
    while offset < len(data):
        watch, _, _, length = EVENT.unpack_from(data, offset)
        name = data[offset + EVENT.size : offset + EVENT.size + length]
        yield watch, os.fsdecode(name.rstrip(b"\0"))
        offset += EVENT.size + length


def skew_ms(flips: Mapping[str, float]) -> float | None:
    """From the first to the last frontend's flip, in milliseconds."""
    return (max(flips.values()) - min(flips.values())) * 1000 if flips else None


def watch_all(roots: Sequence[str]) -> tuple[int, dict[int, str]]:
    """An inotify descriptor, and which root each of its watches is for."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    watches = {libc.inotify_add_watch(descriptor, os.fsencode(root), IN_CREATE | IN_MOVED_TO): root for root in roots}
    if descriptor < 0 or -1 in watches:
        raise OSError(ctypes.get_errno(), "inotify")
    return descriptor, watches


def main() -> None:
    descriptor, watches = watch_all(sys.argv[1:])
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        at_once = True
    except PermissionError:
        at_once = False
    times: dict[str, float] = {}
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    print("ready", flush=True)  # noqa: T201 -- a command line
    over = False
    while not over:
        ready = poll.poll()
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        for woken, _ in ready:
            if woken == descriptor:
                # Of a link that is removed and made again, the last change counts.
                for watch, name in events(os.read(descriptor, 65_536)):
                    if name == "current":
                        times[watches[watch]] = now
            else:
                over = True
    print(json.dumps({"times": times, "at_once": at_once}))  # noqa: T201


class Flips:
    """That process, until the context ends; then the time of each root's last flip, and whether it woke at once."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._child = Child("tests.bench.flips", *map(str, roots))
        self.times: Mapping[str, float] = {}
        self.at_once = False

    @property
    def pid(self) -> int:
        """The process."""
        return self._child.pid

    def __enter__(self) -> Flips:
        self._child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        document = self._child.finish()
        if document is not None:
            self.times, self.at_once = document["times"], document["at_once"]


if __name__ == "__main__":
    main()
