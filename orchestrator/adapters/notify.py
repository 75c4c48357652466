"""Notices to people, through Apprise: a title and a text, made from templates (docs/notices.md, "Notices")."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import ChainableUndefined, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inventory.hooks import Notice
from orchestrator.adapters import secrets
from orchestrator.domain.delivery import NOTICE_PATIENCE, Answer, event_of, matches
from orchestrator.domain.errors import LockstepError, Problem
from orchestrator.domain.trail import Entry
from orchestrator.ports import SEND_SECONDS

if TYPE_CHECKING:
    from apprise import Apprise

#: How often a service is asked again within one attempt, and after how many seconds.
RETRIES = 2
RETRY_SECONDS = 0.5
#: Events that are more, or less, than news.
KINDS: Mapping[str, str] = {
    "deployment.done": "success",
    "deployment.aborting": "warning",
    "deployment.aborted": "failure",
    "deployment.stuck": "failure",
    "rotation.doubted": "warning",
    "gate.refused": "warning",
    "audit.skipped": "warning",
    "finding.opened": "warning",
    "finding.escalated": "failure",
}


@dataclass(frozen=True, slots=True)
class NoticeReceiver:
    """`orchestrator.ports.Receiver`."""

    notice: Notice
    seconds: float = SEND_SECONDS

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        return f"notice/{self.notice.name}"

    @property
    def patience(self) -> timedelta:
        """How long an event is tried."""
        return NOTICE_PATIENCE

    def wants(self, entry: Entry) -> bool:
        """Whether it is to be told of this event."""
        return matches(entry, self.notice.events, self.notice.fleets)

    def send(self, delivery: str, entry: Entry) -> Answer:
        """Tell every service of its file. Taken where one of them took it: the others are not told twice.

        `LockstepError` where a template can't be rendered, or the file holds something else than Apprise's URLs.
        """
        del delivery
        title, body = self.rendered(entry)
        services = self.services()
        results = services.notify(
            body=body,
            title=title,
            notify_type=KINDS.get(entry.action.name, "info"),
            body_format="text",
            timeout=self.seconds,
        )
        missed = [result.name for result in results if not result]
        if results and not missed:
            return Answer(taken=True)
        problem = Problem("services did not take the notice", where=self._file, found=", ".join(missed) or "no answer")
        return Answer(taken=len(missed) < len(results), problem=problem)

    def rendered(self, entry: Entry) -> tuple[str, str]:
        """Title and body. `LockstepError` for a template that can't be rendered, such as one that names the unknown."""
        words = variables(entry)
        return self._render("title", words).strip(), self._render("body", words).strip()

    def check(self) -> None:
        """`LockstepError` where a template names what no event has, or the file holds no URLs of Apprise."""
        words = {**dict.fromkeys(VARIABLES, ""), "event": "deployment.done", "deployment": 1, "detail": _Anything()}
        self._render("title", words)
        self._render("body", words)
        self.services()

    def services(self) -> Apprise:
        """The services of its file, read anew each time. `LockstepError` names the line, never what is in it."""
        return _services(secrets.lines(self._file), self._file)

    @property
    def _file(self) -> str:
        return self.notice.urls_file

    def _render(self, part: str, words: Mapping[str, Any]) -> str:
        try:
            return _environment().from_string(getattr(self.notice, part)).render(words)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise LockstepError(
                "a template can't be rendered",
                where=f"notices.{self.notice.name}.{part}",
                expected=f"Jinja2 with {', '.join(VARIABLES)}",
                found=str(error)[:200],
                remedy="correct it in hooks.yml; see: lockstep hooks check",
            ) from error


#: What a template may use.
VARIABLES = ("event", "actor", "fleet", "environment", "deployment", "detail", "at", "number")


def variables(entry: Entry) -> dict[str, Any]:
    """What a template may use, for one event."""
    return {**event_of(entry), "environment": entry.action.fleet.partition("/")[0]}


class _Anything(ChainableUndefined):
    """Stands for what differs from event to event: whatever is asked of it is there, and empty."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    # Plain text: what comes of it is no HTML, and services that want HTML get it escaped by Apprise.
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def _services(urls: Sequence[str], file: str) -> Apprise:
    apprise = _apprise()
    asset = apprise.AppriseAsset(default_service_retry=RETRIES, default_service_wait=RETRY_SECONDS)
    services: Apprise = apprise.Apprise(asset=asset)
    for number, url in enumerate(urls, 1):
        service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            raise LockstepError(
                "not a URL of Apprise",
                where=f"{file}, URL {number}",
                expected="such as slack://TOKEN_A/TOKEN_B/TOKEN_C/#channel",
                remedy="the list of services: github.com/caronc/apprise/wiki",
            )
        services.add(service)
    return services


@cache
def _apprise() -> Any:
    """The library, loaded where it is first needed, and silent: what it logs may hold parts of a URL."""
    silent = logging.getLogger("apprise")
    silent.disabled = True
    # Nor those below it.
    silent.propagate = False
    silent.addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        # Its services are loaded with the first URL; some of them use what Python will not have any more.
        warnings.simplefilter("ignore")
        import apprise  # noqa: PLC0415

        apprise.Apprise.instantiate("json://localhost")
    return apprise
