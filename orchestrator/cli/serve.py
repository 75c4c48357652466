"""lockstep serve: the HTTP API, LifeTime's API, and hooks."""

from __future__ import annotations

import signal
import socket
import sys
from typing import Annotated

import typer

from orchestrator.cli.output import messages
from orchestrator.domain.errors import UsageError
from orchestrator.settings import Settings

DEFAULT_PORT = 8420
#: Named, not imported: the command line and the API know nothing of each other.
APPLICATION = "orchestrator.api.app:from_environment"


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = DEFAULT_PORT,
    certificate: Annotated[str | None, typer.Option("--tls-certificate", metavar="FILE", help="PEM.")] = None,
    key: Annotated[str | None, typer.Option("--tls-key", metavar="FILE", help="PEM.")] = None,
) -> None:
    """Serve the HTTP API, LifeTime's API and the hooks, until Ctrl-C.

    Part of `lockstep standalone`. Needs a token of every client: lockstep token issue. Beyond this machine only
    with TLS, here or in a proxy before it.

    Examples:
      lockstep serve

      lockstep serve --host 10.0.0.5 --tls-certificate api.pem --tls-key api.key
    """
    settings = Settings.read()
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again once it has stopped: then this ends the command, in order.
        signal.signal(number, lambda *_: sys.exit(0))
    with _listening(host, port) as listener:
        scheme = "http" if certificate is None else "https"
        address, chosen = listener.getsockname()[:2]
        url = f"{scheme}://{f'[{address}]' if ':' in address else address}:{chosen}"
        settings.api_note.write_text(f"{url}\n")
        messages().print(f"listening: {url}", highlight=False)
        try:
            _run(listener, certificate, key)
        finally:
            settings.api_note.unlink(missing_ok=True)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(
            "nobody can listen there",
            where=f"{host}:{port}",
            found=error.strerror or str(error),
            remedy="end what listens there, or take another port: --port 0 takes any that is free",
        ) from error


def _run(listener: socket.socket, certificate: str | None, key: str | None) -> None:
    # Imported where it is needed: every other command would pay for it.
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_config=None,
        access_log=False,
        server_header=False,
        # What a proxy says of its clients is not believed: whoever fails to authenticate could name any address.
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run([listener])
