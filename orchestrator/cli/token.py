"""`lockstep token`: who may use the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import actor
from orchestrator.cli.moments import parse_end
from orchestrator.cli.output import AsJson, messages, print_json, results
from orchestrator.domain.access import EVERYWHERE, Grant, Role
from orchestrator.domain.errors import UsageError
from orchestrator.ports import Token
from orchestrator.services.views import token_view

app = typer.Typer(name="token", no_args_is_help=True, help="API tokens: issue, list, revoke.")


@app.command()
def issue(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the trail calls its bearer.")],
    roles: Annotated[
        list[str],
        typer.Option(
            "--role",
            metavar="ROLE[@ENVIRONMENT]",
            help=f"{', '.join(Role)}; without an environment in all of them. Several times for several.",
        ),
    ],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="30d|TIME", help="When it ends; without it, never.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Issue a token. It is printed this once: the ledger keeps its hash alone.

    Examples:
      lockstep token issue ci --role deployer@Test --role viewer --expires 90d

      lockstep token issue ann --role approver@Production --json
    """
    lockstep = Lockstep()
    grants = [_grant(lockstep, role) for role in roles]
    end = None if expires is None else parse_end(expires, lockstep.clock(), "--expires")
    token, text = lockstep.access.issue(name, grants, end, actor())
    if as_json:
        print_json({**token_view(token, lockstep.clock()), "token": text})
        return
    results().print(text, highlight=False, markup=False)
    until = "for good" if end is None else f"until {end:%Y-%m-%d %H:%M} UTC"
    line = f"{token.name}#{token.public}: {_roles(token)}, {until}. It is shown this once: keep it as a secret."
    messages().print(line, highlight=False, markup=False)


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """Every token, oldest first, without what is secret of it.

    Example:
      lockstep token list
    """
    lockstep = Lockstep()
    found = lockstep.tokens.tokens()
    if as_json:
        print_json({"tokens": [token_view(token, lockstep.clock()) for token in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("public", "name", "roles", "state", "issued (UTC)", "by", "expires (UTC)"):
        table.add_column(column)
    for token in found:
        end = "" if token.expires_at is None else f"{token.expires_at:%Y-%m-%d %H:%M}"
        issued = f"{token.created_at:%Y-%m-%d %H:%M}"
        row = (
            token.public,
            token.name,
            _roles(token),
            token_view(token, lockstep.clock())["state"],
            issued,
            token.actor,
            end,
        )
        table.add_row(*map(Text, row))
    results().print(table)


@app.command()
def revoke(
    public: Annotated[str, typer.Argument(metavar="PUBLIC", help="The token's public part, as listed.")],
    as_json: AsJson = False,
) -> None:
    """End a token, from the next request on. Once more is no change.

    Example:
      lockstep token revoke 1a2b3c4d5e6f
    """
    lockstep = Lockstep()
    token = lockstep.access.revoke(public, actor())
    if as_json:
        print_json(token_view(token, lockstep.clock()))
        return
    line = f"revoked: {token.name}#{token.public}, {token.revoked_at:%Y-%m-%d %H:%M} UTC"
    results().print(line, highlight=False, markup=False)


def _grant(lockstep: Lockstep, words: str) -> Grant:
    """``ROLE`` or ``ROLE@ENVIRONMENT``. An environment that the inventory does not have would allow nothing."""
    name, at, environment = words.partition("@")
    if name not in list(Role):
        raise UsageError("not a role", where="--role", expected=", ".join(Role), found=name[:80])
    if not at or environment == EVERYWHERE:
        return Grant(Role(name))
    known: Sequence[str] = [each.name for each in lockstep.inventory().environments]
    if environment not in known:
        raise UsageError(
            f"there is no environment {environment[:80]}",
            where="--role",
            expected=", ".join(known) or "an inventory with environments",
            found=words[:80],
        )
    return Grant(Role(name), environment)


def _roles(token: Token) -> str:
    return ", ".join(
        str(grant.role) if grant.environment == EVERYWHERE else f"{grant.role}@{grant.environment}"
        for grant in token.grants
    )
