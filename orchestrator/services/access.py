"""API tokens: issued once, shown once, checked at every request."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.access import APPROVING, TOKEN, Grant, Permission, Principal
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import ForbiddenError, UnauthenticatedError, UsageError
from orchestrator.ports import Clock, Token, Tokens

#: What a token's bearer is called in the trail.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: The part of a token that may be shown.
PUBLIC = re.compile(r"[0-9a-f]{12}")
#: Compared where there is no such token, so that an answer takes as long.
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Access:
    """Issuing, revoking and checking tokens."""

    tokens: Tokens
    clock: Clock

    def issue(self, name: str, grants: Sequence[Grant], expires_at: datetime | None, actor: str) -> tuple[Token, str]:
        """A new token, and its text, which nobody can be shown again. `UsageError` for what can't be one."""
        now = self.clock()
        if NAME.fullmatch(name) is None:
            raise UsageError("not a token's name", expected="letters, digits, '.', '_' and '-', at most 63", found=name)
        if not grants:
            raise UsageError("a token that allows nothing", expected="at least one role")
        if expires_at is not None and expires_at <= now:
            raise UsageError("a token that has expired already", found=expires_at.isoformat())
        public, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        token = Token(public, name, _hash(secret), tuple(sorted(set(grants))), actor, now, expires_at)
        self.tokens.add_token(token)
        return token, f"lks_{public}_{secret}"

    def revoke(self, named: str, actor: str) -> Token:
        """Not valid from now on; once more is no change. `named` is its public part, or the whole token.

        `UsageError` where there is no such token. What was given is told only where it can't be a secret.
        """
        whole = TOKEN.fullmatch(named)
        public = named.removeprefix("lks_") if whole is None else whole["public"]
        known = PUBLIC.fullmatch(public) is not None
        token = self.tokens.revoke_token(public, actor) if known else None
        if token is None:
            raise UsageError(
                f"there is no token {public}" if known else "not the public part of a token",
                expected="the 12 hex digits that stand for a token, as the list of tokens has them",
                remedy="see: lockstep token list",
            )
        return token

    def authenticate(self, text: str) -> Principal:
        """Whose token it is. `UnauthenticatedError`, always the same one, where it is nobody's or not valid now."""
        parts = TOKEN.fullmatch(text)
        token = None if parts is None else self.tokens.token(parts["public"])
        given = _hash("" if parts is None else parts["secret"])
        same = hmac.compare_digest(given, _NOBODY if token is None else token.hash)
        if token is None or not same or not valid(token, self.clock()):
            raise UnauthenticatedError(
                "the token is not valid",
                expected="a token that was issued, is not revoked and has not expired",
                remedy="ask whoever runs Lockstep for one: lockstep token issue",
            )
        return Principal(f"{token.name}#{token.public}", token.grants)


def valid(token: Token, now: datetime) -> bool:
    """Whether it is neither revoked nor expired."""
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


def require(principal: Principal, permission: Permission, environment: str | None = None) -> None:
    """`ForbiddenError` where the principal may not do it in that environment (None: in any)."""
    if not principal.may(permission, environment):
        where = "" if environment is None else f" in {environment}"
        raise ForbiddenError(
            f"{principal.name} may not {permission}{where}",
            expected=f"a token with a role that allows it{where}",
            found=_granted(principal),
        )


def require_continue(principal: Principal, deployment: Deployment) -> None:
    """`ForbiddenError` where the principal may not let the deployment go on, or have it carried on.

    Where four eyes are asked for and nothing is decided, only approvers and admins may; that it is somebody else than
    who planned it, `Deploying.proceed` sees to.
    """
    environment = environment_of(deployment.plan.fleet)
    require(principal, Permission.CONTINUE, environment)
    if deployment.plan.four_eyes and deployment.decision is None and not principal.has(APPROVING, environment):
        raise ForbiddenError(
            f"{principal.name} may not continue deployment {deployment.id}: {environment} asks for four eyes",
            expected=f"a token with the role {' or '.join(sorted(APPROVING))} in {environment}",
            found=_granted(principal),
        )


def environment_of(fleet: str) -> str:
    """The environment in a fleet's key."""
    return fleet.partition("/")[0]


def _granted(principal: Principal) -> str:
    return ", ".join(f"{grant.role} in {grant.environment}" for grant in principal.grants)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
