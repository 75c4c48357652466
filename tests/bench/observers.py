"""Clients that load a page and its parts through the load balancer, again and again, and judge what they get.

A process of its own: `python -m tests.bench.observers URL VERSION…` (the versions that may be seen, the oldest
first). Says `ready` when every client has had its first page, and at the end of its standard input one line of JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

from tests.bench.child import Child
from tests.bench.judge import Judge, Seen, parts_of, version_of
from tests.bench.site import MOUNT

SECONDS = 10.0


class Client:
    """A browser's way to ask: one connection kept, cookies sent back, and what an answer is for in the headers."""

    def __init__(self, url: str, judge: Judge) -> None:
        self._host = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=SECONDS)
        self._cookies: dict[str, str] = {}
        self.judge = judge
        self.requests = 0

    def visit(self) -> None:
        """Load the page and its parts once, and judge them."""
        page = self._get(MOUNT, "document")
        parts = [self._get(MOUNT + path, "script") for path in parts_of(page or b"")]
        self.judge.judge(version_of(page or b""), [version_of(part or b"") for part in parts])

    def _get(self, path: str, kind: str) -> bytes | None:
        headers = {"Sec-Fetch-Dest": kind, "Accept": "text/html,*/*" if kind == "document" else "*/*"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        self.requests += 1
        try:
            self._connection.request("GET", path, headers=headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name.strip()] = value.strip()
        return body if answer.status == 200 else None

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()


def watch(client: Client, pause: float, over: threading.Event, begun: threading.Semaphore) -> None:
    """Visits, `pause` seconds from the beginning of one to that of the next, until it is over."""
    due = time.monotonic()
    while True:
        client.visit()
        begun.release()
        due = max(due + pause, time.monotonic())
        if over.wait(due - time.monotonic()):
            client.close()
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("order", nargs="+", metavar="VERSION")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=10.0, help="pages a second, each client")
    given = parser.parse_args()
    over, begun = threading.Event(), threading.Semaphore(0)
    clients = [Client(given.url, Judge(given.order)) for _ in range(given.clients)]
    threads = [threading.Thread(target=watch, args=(each, 1 / given.rate, over, begun)) for each in clients]
    for thread in threads:
        thread.start()
    for _ in clients:
        begun.acquire()
    print("ready", flush=True)  # noqa: T201 -- a command line
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    total = Seen()
    for client in clients:
        total.add(client.judge.seen)
    print(json.dumps({**total.document(), "requests": sum(each.requests for each in clients)}))  # noqa: T201


class Observers:
    """That process, from its first pages until the context ends; then what it saw."""

    def __init__(self, url: str, order: tuple[str, ...], rate: float) -> None:
        self._child = Child("tests.bench.observers", "--rate", str(rate), url, *order)
        self.seen = Seen()

    @property
    def pid(self) -> int:
        """The process."""
        return self._child.pid

    def __enter__(self) -> Observers:
        self._child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        document = self._child.finish()
        if document is not None:
            self.seen = Seen.of(document)


if __name__ == "__main__":
    main()
