"""API tokens: list, issue, revoke. For those alone who are admin everywhere."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from orchestrator.api.asking import Parts, Who
from orchestrator.api.problems import NotFoundError
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE, LOCATION, REPLAYED, link, problems
from orchestrator.api.v1.bodies import IssueToken, moment
from orchestrator.api.v1.once import Answer, Asked
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.parameters import TokenId
from orchestrator.domain.access import EVERYWHERE, Grant, Permission, Principal
from orchestrator.services.access import require
from orchestrator.services.views import token_view

router = APIRouter(tags=["tokens"], responses=ANYWHERE)


def administrator(who: Who) -> Principal:
    """Somebody who is admin everywhere."""
    require(who, Permission.ADMINISTER, EVERYWHERE)
    return who


Administrator = Annotated[Principal, Depends(administrator)]


@router.get("/tokens", summary="The tokens, oldest first", response_model=models.Page[models.Token])
def list_tokens(lockstep: Parts, who: Administrator, pages: Pages) -> dict[str, Any]:
    """Without their secrets, which nobody has."""
    del who
    now = lockstep.clock()
    return pages.cut(
        "tokens", lockstep.tokens.tokens(), lambda token: token_view(token, now), lambda token: (token.public,)
    )


@router.post(
    "/tokens",
    summary="Issue a token",
    status_code=201,
    response_model=models.IssuedToken,
    responses={
        201: {
            "description": "The token. Nobody is shown its text again.",
            "headers": REPLAYED | LOCATION,
            "links": {"revoke_token": link("revoke_token", token="$response.body#/public")},  # noqa: S106
        },
        **problems(409),
    },
)
def issue_token(lockstep: Parts, who: Administrator, asked: Asked, wanted: IssueToken) -> Response:
    """A repetition by Idempotency-Key says which token it was, without its text: the ledger does not have it."""

    def act() -> Answer:
        until = None if wanted.expires_at is None else moment(wanted.expires_at, "expires_at", lockstep.clock())
        grants = [Grant(each.role, each.environment) for each in wanted.roles]
        token, text = lockstep.access.issue(wanted.name, grants, until, who.name)
        view = token_view(token, lockstep.clock())
        headers = {"Location": "/api/v1/tokens", "Cache-Control": "no-store"}
        return Answer(201, {**view, "token": text}, headers, kept={**view, "token": None})

    return asked.answer(act)


@router.post(
    "/tokens/{token}/revoke",
    summary="Revoke a token",
    response_model=models.Token,
    responses={200: {"description": "It is not valid any more.", "headers": REPLAYED}, **problems(404, 409)},
)
def revoke_token(lockstep: Parts, who: Administrator, asked: Asked, token: TokenId) -> Response:
    """Not valid from now on. Once more is no change."""
    if lockstep.tokens.token(token) is None:
        raise NotFoundError(f"there is no token {token}")

    def act() -> Answer:
        return Answer(200, token_view(lockstep.access.revoke(token, who.name), lockstep.clock()))

    return asked.answer(act)
