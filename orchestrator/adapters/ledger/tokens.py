"""The ledger's API tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.tables import tokens
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.access import Grant, Role
from orchestrator.domain.trail import Action
from orchestrator.ports import Token


class SqlTokens(LedgerPart):
    """`orchestrator.ports.Tokens` on an engine of `engine.open_engine`. Safe to share between threads."""

    def add_token(self, token: Token) -> None:
        """Record a token; the trail says who issued it, to whom, and what it allows."""
        columns: dict[str, Any] = {
            "public": token.public,
            "name": token.name,
            "hash": token.hash,
            "grants": _grants(token),
            "actor": token.actor,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        with self._database.writing() as connection:
            connection.execute(insert(tokens).values(columns))
            append(connection, Action("token.issued", token.actor, detail=_shown(token)), self._clock())

    def token(self, public: str) -> Token | None:
        """One token, valid or not, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(tokens).where(tokens.c.public == public)).mappings().one_or_none()
        return None if row is None else _token(row)

    def tokens(self) -> list[Token]:
        """All of them, oldest first."""
        with self._database.reading() as connection:
            return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.id)).mappings()]

    def revoke_token(self, public: str, actor: str) -> Token | None:
        """Not valid from now on."""
        mine = tokens.c.public == public
        with self._database.writing() as connection:
            now = self._clock()
            standing = update(tokens).where(mine, tokens.c.revoked_at.is_(None))
            changed = connection.execute(standing.values(revoked_at=now)).rowcount == 1
            row = connection.execute(select(tokens).where(mine)).mappings().one_or_none()
            if row is None:
                return None
            if changed:
                append(connection, Action("token.revoked", actor, detail=_shown(_token(row))), now)
        return _token(row)


def _grants(token: Token) -> list[list[str]]:
    return [[grant.role.value, grant.environment] for grant in token.grants]


def _shown(token: Token) -> dict[str, Any]:
    return {"token": token.public, "name": token.name, "grants": _grants(token)}


def _token(row: RowMapping) -> Token:
    grants = tuple(Grant(Role(role), environment) for role, environment in row["grants"])
    return Token(
        row["public"],
        row["name"],
        row["hash"],
        grants,
        row["actor"],
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )
