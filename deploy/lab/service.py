"""The sample app's server: it answers the one server action that the app has, and nothing else.

    python deploy/lab/service.py 127.0.0.1 8000

The lab starts it by its file, so it needs nothing but Python. What it has saved it forgets when it ends.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any

#: `<mount>screenservices/SaveItem`, of an app that is mounted anywhere.
ACTION = re.compile(r"(?:/[^/?]+)?/screenservices/SaveItem(?:\?.*)?")
MOST_BYTES = 64 * 1024
#: So much of a body that is too large is read all the same.
MOST_DISCARDED = 1024 * 1024
#: At once; whoever comes then waits.
THREADS = 8
REQUEST_SECONDS = 10


class Service(TCPServer):
    """The server: some threads, and what has been saved."""

    # As servers do: what a closed connection leaves behind for a minute is no obstacle.
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, port), Answerer)
        self._pool = ThreadPoolExecutor(THREADS)
        self._lock = threading.Lock()
        self._count = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread of the pool."""
        self._pool.submit(self._answer, request, client_address)

    def save(self) -> int:
        """Save an item. Returns how many there are."""
        with self._lock:
            self._count += 1
            return self._count

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)


class Answerer(BaseHTTPRequestHandler):
    """One request. Each is a line in the log."""

    server: Service
    timeout = REQUEST_SECONDS

    def do_POST(self) -> None:
        """The action; 404 for any other."""
        body = self._body()
        if body is None:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"a body of at most {MOST_BYTES} bytes"})
        elif ACTION.fullmatch(self.path) is None:
            self._say(HTTPStatus.NOT_FOUND, {"error": "no such action"})
        else:
            self._save(body)

    def do_GET(self) -> None:
        """There is nothing to get."""
        self._say(HTTPStatus.NOT_FOUND, {"error": "no such action"})

    def _body(self) -> bytes | None:
        length = self.headers["Content-Length"] or ""
        if re.fullmatch(r"[0-9]{1,9}", length) is None:
            return None
        # To close on what has arrived unread would reset the connection, and the answer with it.
        body = self.rfile.read(min(int(length), MOST_DISCARDED))
        return body if len(body) <= MOST_BYTES else None

    def _save(self, body: bytes) -> None:
        try:
            item = json.loads(body)["item"]
        except (ValueError, KeyError, TypeError, RecursionError):
            item = None
        if not isinstance(item, str):
            self._say(HTTPStatus.BAD_REQUEST, {"error": 'expected {"item": "…"}'})
        else:
            self._say(HTTPStatus.OK, {"saved": item, "count": self.server.save()})

    def _say(self, status: HTTPStatus, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Service(sys.argv[1], int(sys.argv[2])).serve_forever()
