"""A second link between two namespaces, on which every packet takes its time, as with `tc netem delay`.

Many kernels have no netem; they have tun(4).
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tests.partitions.namespaces import Namespace

NAME = "slow"
#: linux/if_tun.h: packets without a header before them.
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
LARGEST = 65_536


@contextmanager
def between(near: Namespace, far: Namespace, seconds: float) -> Iterator[None]:
    """Until the context ends, a link `slow` in both, up: what goes in at one end comes out `seconds` later."""
    ends = [_end(namespace) for namespace in (near, far)]
    try:
        over, ended = os.pipe()
        carrier = threading.Thread(target=_carry, args=(ends, over, seconds), name="slow wire")
        carrier.start()
        try:
            yield
        finally:
            os.close(ended)
            carrier.join()
            os.close(over)
    finally:
        # The link is gone with its descriptors, and the routes over it.
        for end in ends:
            os.close(end)


def _end(namespace: Namespace) -> int:
    with namespace.inside():
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), IFF_TUN | IFF_NO_PI))
    namespace.run("ip", "link", "set", NAME, "up")
    return end


def _carry(ends: list[int], over: int, seconds: float) -> None:
    """Until `over` is closed at its other side."""
    waiting: deque[tuple[float, int, bytes]] = deque()
    other = dict(zip(ends, reversed(ends), strict=True))
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([*ends, over], [], [], pause)
        if over in ready:
            return
        now = time.monotonic()
        for end in ready:
            waiting.append((now + seconds, other[end], os.read(end, LARGEST)))
        while waiting and waiting[0][0] <= now:
            _, end, packet = waiting.popleft()
            os.write(end, packet)
