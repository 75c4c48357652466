"""lockstep frontend recipe: what a frontend's web server needs."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.nginx.recipe import render
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import choose
from orchestrator.domain.errors import UsageError

app = typer.Typer(no_args_is_help=True)
recipe = typer.Typer(no_args_is_help=True)
app.add_typer(recipe, name="recipe", help="The web server's configuration for a frontend.")


@recipe.command()
def nginx(
    fleet: Annotated[str | None, typer.Argument(metavar="[FLEET]", help="A fleet of the inventory.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[FRONTEND]", help="One of its frontends.")] = None,
    root: Annotated[str | None, typer.Option(help="The frontend's root, in place of the inventory's.")] = None,
    listen: Annotated[list[str] | None, typer.Option(help="Where nginx listens, in place of the URL's port.")] = None,
    server_name: Annotated[str | None, typer.Option(help="The site's name, in place of the fleet's host.")] = None,
) -> None:
    """Print nginx's configuration for a frontend; it goes into the http context.

    Examples:
      lockstep frontend recipe nginx web fe1 | ssh root@fe1 'cat >/etc/nginx/conf.d/lockstep.conf'

      lockstep frontend recipe nginx --root /srv/lockstep --listen 80
    """
    if fleet is not None and name is not None:
        chosen = choose(Lockstep(), fleet)
        frontend = chosen.frontend(name)
        if frontend is None:
            known = ", ".join(f.name for f in chosen.frontends)
            raise UsageError(f"{chosen.key} has no frontend {name}", expected=known, found=name)
        root = root or frontend.root
        listen = listen or [str(frontend.url.port)]
        server_name = server_name or chosen.host
    if root is None or not listen:
        raise UsageError("no frontend was named", expected="FLEET FRONTEND, or --root and --listen")
    try:
        text = render(root=root, listen=listen, server_name=server_name or "_")
    except ValueError as error:
        raise UsageError(str(error)) from error
    typer.echo(text, nl=False)
