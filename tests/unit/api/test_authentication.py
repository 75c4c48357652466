"""Who gets in, what everybody else is told, and how often anybody may try."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.api.addresses import counted_as
from orchestrator.api.app import make_app
from orchestrator.api.asking import MOST_FAILURES, Who
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import EVERYWHERE, TOKEN, Grant, Role, without_tokens
from orchestrator.domain.errors import UnauthenticatedError
from orchestrator.services.access import Access
from orchestrator.settings import Settings
from tests.unit.api.clients import Client

ONE, OTHER = "192.0.2.1", "192.0.2.2"
PAST = datetime(2026, 1, 1, tzinfo=UTC)


class Site:
    """The application with an endpoint that says who asks, and a token of each kind."""

    def __init__(self, home: Path) -> None:
        self.lockstep = Lockstep(
            Settings.read({"LOCKSTEP_HOME": str(home), "LOCKSTEP_INVENTORY": str(home / "none.yml")})
        )
        self.app: FastAPI = make_app(self.lockstep)
        self.app.add_api_route("/who", self.who, methods=["GET", "POST"])
        self.valid = self.issue()
        self.revoked = self.issue()
        self.lockstep.access.revoke(self.public(self.revoked), "ann")
        then = Access(self.lockstep.tokens, lambda: PAST)
        _, self.expired = then.issue("ci", [Grant(Role.ADMIN)], PAST + timedelta(days=1), "ann")

    @staticmethod
    def who(who: Who) -> dict[str, str]:
        """The name."""
        return {"name": who.name}

    def issue(self) -> str:
        """A token that is good for a day."""
        end = datetime.now(UTC) + timedelta(days=1)
        return self.lockstep.access.issue("ci", [Grant(Role.VIEWER)], end, "ann")[1]

    @staticmethod
    def public(token: str) -> str:
        """The part that may be shown."""
        parts = TOKEN.fullmatch(token)
        assert parts is not None
        return parts["public"]

    def from_address(self, address: str) -> Client:
        """A client there."""
        return Client(self.app, address)

    def ask(self, *headers: str, address: str = ONE) -> httpx.Response:
        """A request with these headers of authorization."""
        return self.from_address(address).get(
            "/who", headers=[(b"Authorization", each.encode("latin-1")) for each in headers]
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Made once."""
    return Site(tmp_path_factory.mktemp("home"))


@pytest.fixture
def site(made: Site) -> Site:
    """With nobody's failures counted yet."""
    made.app.state.gatekeeper = type(made.app.state.gatekeeper)(made.lockstep)
    return made


def wrong_secret(token: str) -> str:
    """The same public part, and another secret of the same form."""
    return token[:-1] + ("A" if token[-1] != "A" else "B")


VALID: dict[str, Callable[[Site], tuple[str, ...]]] = {
    "a token": lambda site: (f"Bearer {site.valid}",),
    "the scheme in small letters": lambda site: (f"bearer {site.valid}",),
    "the scheme in large letters": lambda site: (f"BEARER {site.valid}",),
    "more than one space": lambda site: (f"Bearer   {site.valid} ",),
}
NO_TOKEN: dict[str, Callable[[Site], tuple[str, ...]]] = {
    "nothing": lambda site: (),
    "an empty header": lambda site: ("",),
    "spaces": lambda site: ("Bearer    ",),
    "a scheme alone": lambda site: ("Bearer",),
    "a token without a scheme": lambda site: (site.valid,),
    "basic": lambda site: (f"Basic {site.valid}",),
    "digest": lambda site: (f'Digest username="{site.valid}"',),
    "another name for it": lambda site: (f"Token {site.valid}",),
}
INVALID: dict[str, Callable[[Site], tuple[str, ...]]] = {
    "garbage": lambda site: ("Bearer garbage",),
    "an unknown public part": lambda site: ("Bearer lks_0123456789ab_" + site.valid[17:],),
    "a wrong secret": lambda site: (f"Bearer {wrong_secret(site.valid)}",),
    "no secret": lambda site: (f"Bearer {site.valid[:17]}",),
    "its hash": lambda site: ("Bearer lks_{0.public}_{0.hash}".format(site.lockstep.tokens.tokens()[0]),),
    "a character more": lambda site: (f"Bearer {site.valid}A",),
    "another case": lambda site: (f"Bearer {site.valid.upper()}",),
    "two tokens": lambda site: (f"Bearer {site.valid} {site.valid}",),
    "a line end": lambda site: (f"Bearer {site.valid[:30]}\u0085{site.valid[30:]}",),
    "a quoted token": lambda site: (f'Bearer "{site.valid}"',),
    "other letters": lambda site: ("Bearer lks_0123456789ab_" + "\u00e9" * 43,),
    "a very long one": lambda site: ("Bearer lks_0123456789ab_" + "A" * 1_000_000,),
    "an expired one": lambda site: (f"Bearer {site.expired}",),
    "a revoked one": lambda site: (f"Bearer {site.revoked}",),
    "a wrong one before a valid one": lambda site: ("Bearer garbage", f"Bearer {site.valid}"),
}


@pytest.mark.parametrize("how", VALID)
def test_a_valid_token_gets_in(site: Site, how: str) -> None:
    answer = site.ask(*VALID[how](site))
    assert (answer.status_code, answer.json()) == (200, {"name": f"ci#{site.public(site.valid)}"})


@pytest.mark.parametrize("how", [*NO_TOKEN, *INVALID])
def test_nobody_else_does_and_all_invalid_tokens_are_answered_alike(site: Site, how: str) -> None:
    answer = site.ask(*{**NO_TOKEN, **INVALID}[how](site))
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="lockstep"'
    assert answer.json()["type"] == "urn:lockstep:problem:unauthenticated"
    same = site.ask("Bearer garbage") if how in INVALID else site.ask()
    assert (answer.content, answer.headers) == (same.content, same.headers)


def test_a_token_is_taken_from_its_header_alone(site: Site) -> None:
    client = site.from_address(ONE)
    for name in ("token", "access_token", "authorization", "api_key"):
        assert client.get("/who", params={name: site.valid}).status_code == 401
        assert client.get("/who", params={name: f"Bearer {site.valid}"}).status_code == 401
        assert client.request("POST", "/who", data={name: site.valid}).status_code == 401
        assert client.get("/who", headers={"Cookie": f"{name}={site.valid}"}).status_code == 401
    assert client.get("/who", headers={"X-Api-Key": site.valid}).status_code == 401
    assert client.get("/who", headers={"Proxy-Authorization": f"Bearer {site.valid}"}).status_code == 401


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "NONSENSE"])
def test_no_other_method_gets_past_it(site: Site, method: str) -> None:
    answer = site.from_address(ONE).request(method, "/who")
    assert answer.status_code == 405
    assert sorted(answer.headers["allow"].split(", ")) in (["GET"], ["GET", "POST"])
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_whether_it_lives_is_told_to_everybody(site: Site, method: str) -> None:
    client = site.from_address(ONE)
    assert client.request(method, "/healthz").status_code == 200
    assert client.request(method, "/readyz").status_code == 503


# ── how often ──


def fail(site: Site, address: str, times: int = MOST_FAILURES) -> None:
    for _ in range(times):
        assert site.ask("Bearer garbage", address=address).status_code == 401


def test_who_fails_too_often_waits_even_with_a_valid_token_and_nobody_else_does(site: Site) -> None:
    fail(site, ONE)
    for header in ("Bearer garbage", f"Bearer {site.valid}"):
        answer = site.ask(header)
        assert (answer.status_code, answer.json()["type"]) == (429, "urn:lockstep:problem:too-many-attempts")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.headers["content-type"] == "application/problem+json"
        assert "www-authenticate" not in answer.headers
    assert site.ask(f"Bearer {site.valid}", address=OTHER).status_code == 200
    assert site.ask("Bearer garbage", address=OTHER).status_code == 401
    assert site.from_address(ONE).get("/healthz").status_code == 200


def test_only_failures_count(site: Site) -> None:
    fail(site, ONE, MOST_FAILURES - 1)
    for _ in range(2 * MOST_FAILURES):
        assert site.ask(f"Bearer {site.valid}").status_code == 200
        assert site.ask().status_code == 401
    fail(site, ONE, 1)
    assert site.ask(f"Bearer {site.valid}").status_code == 429


def test_a_network_of_ipv6_counts_as_one(site: Site) -> None:
    for last in range(MOST_FAILURES):
        assert site.ask("Bearer garbage", address=f"2001:db8:1:2::{last:x}").status_code == 401
    assert site.ask(f"Bearer {site.valid}", address="2001:db8:1:2:ffff::1").status_code == 429
    assert site.ask(f"Bearer {site.valid}", address="2001:db8:1:3::1").status_code == 200


def test_what_a_client_says_of_its_address_is_not_believed(site: Site) -> None:
    client = site.from_address(ONE)
    for last in range(MOST_FAILURES):
        said = {"X-Forwarded-For": f"198.51.100.{last}", "Forwarded": f"for=198.51.100.{last}"}
        assert client.get("/who", headers={"Authorization": "Bearer garbage", **said}).status_code == 401
    assert site.ask(f"Bearer {site.valid}").status_code == 429


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:1::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_addresses_as_they_are_counted(address: str, counted: str) -> None:
    assert counted_as(address) == counted


# ── the token itself ──


def test_every_bit_of_a_token_is_looked_at(site: Site) -> None:
    for place in range(len(site.valid)):
        for letter in "0Az_-":
            if letter != site.valid[place]:
                changed = site.valid[:place] + letter + site.valid[place + 1 :]
                with pytest.raises(UnauthenticatedError):
                    site.lockstep.access.authenticate(changed)


def test_tokens_are_never_the_same_and_hold_256_bits(site: Site) -> None:
    issued = {site.issue() for _ in range(50)}
    assert len(issued) == 50
    assert {len(token) for token in issued} == {4 + 12 + 1 + 43}
    hashes = {token.hash for token in site.lockstep.tokens.tokens()}
    assert all(len(each) == 64 for each in hashes)


def test_a_token_ends_at_the_moment_at_which_it_expires(site: Site) -> None:
    end = PAST + timedelta(hours=1)
    _, text = Access(site.lockstep.tokens, lambda: PAST).issue("ci", [Grant(Role.VIEWER, EVERYWHERE)], end, "ann")
    before = Access(site.lockstep.tokens, lambda: end - timedelta(microseconds=1))
    assert before.authenticate(text).grants == (Grant(Role.VIEWER),)
    with pytest.raises(UnauthenticatedError):
        Access(site.lockstep.tokens, lambda: end).authenticate(text)


def test_text_without_tokens_keeps_what_may_be_shown(site: Site) -> None:
    text = f"GET /a?b={site.valid}&c={site.expired} failed"
    shown = without_tokens(text)
    assert shown == f"GET /a?b=lks_{site.public(site.valid)}_…&c=lks_{site.public(site.expired)}_… failed"
    assert without_tokens("lks_0123456789ab and no more") == "lks_0123456789ab and no more"
