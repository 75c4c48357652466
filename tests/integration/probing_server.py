"""The server as `lockstep serve` runs it, with an endpoint more that tells who asks, and one that fails.

Run as a program: it prints its port, then its log goes to standard error.
"""

from __future__ import annotations

import socket
import sys

import uvicorn

from orchestrator.api.app import from_environment
from orchestrator.api.asking import Who
from orchestrator.domain.errors import UsageError


def who(who: Who) -> dict[str, str]:
    """Who asks."""
    return {"name": who.name}


def fault(secret: str, who: Who) -> None:
    """A fault whose words and whose variables hold what was sent."""
    held = f"{who.name}: {secret}"
    raise RuntimeError(held)


def refusal(secret: str, who: Who) -> None:
    """An error that quotes what was sent."""
    raise UsageError(f"there is no {secret}", where=who.name, found=secret)


def main() -> None:
    """Serve until it is ended."""
    app = from_environment()
    app.add_api_route("/probe", who, methods=["GET", "POST"])
    app.add_api_route("/probe/fault", fault)
    app.add_api_route("/probe/refusal", refusal)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        # The options of orchestrator/cli/serve.py.
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
