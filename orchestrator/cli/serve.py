"""lockstep serve: the HTTP API, LifeTime's API, and hooks."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.settings import Settings

#: Named, not imported: the command line and the API know nothing of each other.
APPLICATION = "orchestrator.api.app:from_environment"


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8420,
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
    # Imported where it is needed: every other command would pay for it.
    import uvicorn  # noqa: PLC0415

    Settings.read()
    uvicorn.run(
        APPLICATION,
        factory=True,
        host=host,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
