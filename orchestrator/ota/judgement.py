"""When an answer is right. Pure; docs/observe.md, "The rules", is the same in words, and says why.

The functions return faults: none where the answer is right. Waiting is the third outcome: which release a document
belongs to may be known only after the next version check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.activation import ActivationName
from orchestrator.ota.answers import Answer, ServedManifest
from orchestrator.ota.tally import Fault, Kind

OK = 200
GONE = frozenset({404, 410})
_MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Page:
    """What a client was told by its last navigation: the activation, which is its pin from then on, and the token of
    the app's release in it; None where no version check has named it yet.
    """

    activation: ActivationName
    token: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document that waits to be judged: its path, the answer, and the activation whose release it must be of."""

    path: str
    answer: Answer
    activation: ActivationName


def judge_status(answer: Answer) -> tuple[Fault, ...]:
    """An answer to a question that can always be answered: 200, anything else is an error."""
    if answer.status == OK:
        return ()
    if answer.status in _MOVED:
        return (Fault(Kind.REDIRECT, "200", f"{answer.status} to {answer.location or 'nowhere'}"),)
    return (Fault(Kind.STATUS, "200", str(answer.status)),)


def judge_file(ota: str, answer: Answer) -> tuple[Fault, ...]:
    """A file that a manifest lists with the hash `ota`: its bytes, or torn."""
    if answer.status in GONE:
        return (Fault(Kind.MISSING, ota, str(answer.status)),)
    if answer.status != OK:
        return judge_status(answer)
    found = answer.ota
    return () if found == ota else (Fault(Kind.OTHER_BYTES, ota, f"{found}, {len(answer.body)} bytes"),)


def judge_integrity(integrity: str | None, answer: Answer) -> tuple[Fault, ...]:
    """A file for which the release's precache.manifest gives this SHA-256, or none."""
    if integrity is None:
        return ()
    found = answer.integrity
    return () if found == integrity else (Fault(Kind.OTHER_BYTES, integrity, f"{found}, {len(answer.body)} bytes"),)


def judge_forward(seen: int | None, name: ActivationName | None, answer: Answer) -> tuple[Fault, ...]:
    """Navigation: what is served names its activation, and none of a lower epoch than the highest that was `seen`."""
    if name is None:
        unnamed = Fault(Kind.UNNAMED, "the header Lockstep-Activation", "no such header")
        return (unnamed,) if answer.status == OK else ()
    if seen is not None and name.epoch < seen:
        return (Fault(Kind.BACKWARD, f"epoch {seen} or later", f"epoch {name.epoch}"),)
    return ()


def judge_told(told: Mapping[ActivationName, str], name: ActivationName, token: str) -> tuple[Fault, ...]:
    """A version check: an activation has one release of an app, so it has one token."""
    before = told.get(name, token)
    return () if before == token else (Fault(Kind.MIXED, f"{name} has token {before}", f"token {token}"),)


def judge_manifest_status(token: str, answer: Answer) -> tuple[Fault, ...]:
    """The manifest of a token that was just served: there, or torn."""
    if answer.status in GONE:
        return (Fault(Kind.NO_MANIFEST, f"the manifest of token {token}", str(answer.status)),)
    return judge_status(answer)


def judge_manifest(token: str, manifest: ServedManifest) -> tuple[Fault, ...]:
    """The manifest of a token is that token's."""
    if manifest.token == token:
        return ()
    return (Fault(Kind.OTHER_MANIFEST, f"the manifest of token {token}", f"that of token {manifest.token}"),)


def judge_document(
    page: Page, told: Mapping[ActivationName, str], ota: str, name: ActivationName | None, answer: Answer
) -> tuple[Fault, ...] | ActivationName:
    """A document that the page's release lists with the hash `ota`, asked for by navigation.

    It may come from a newer activation than the page. Then it must be of that activation's release, which is known
    only where a version check has told it: else the activation that must be waited for is returned. The same where
    the document is missing and the answer names no activation: the newer release need not have such a document.
    """
    if answer.status not in GONE and answer.status != OK:
        return judge_status(answer)
    if name is None:
        return page.activation if answer.status in GONE else ()
    if name == page.activation or (page.token is not None and told.get(name) == page.token):
        return judge_file(ota, answer)
    return name


def judge_waiting(waiting: Waiting, page: Page, manifest: ServedManifest) -> tuple[Fault, ...] | None:
    """A document that waited, after a version check made `page` and `manifest` is its release.

    None where nothing can be said: the check named yet another activation, or its release lists no such path.
    """
    if waiting.activation != page.activation:
        return None
    ota = manifest.files.get(waiting.path)
    if ota is not None:
        return judge_file(ota, waiting.answer)
    return () if waiting.answer.status in GONE else None


def judge_part(page: Page, ota: str, name: ActivationName | None, answer: Answer) -> tuple[Fault, ...]:
    """A part that the page's release lists with the hash `ota`, asked for by its plain path with the page's pin.

    Every frontend holds the pin's activation, so the bytes are the page's, whatever is current there. An answer of an
    older activation is backward even with the same bytes: the next file may differ.
    """
    faults = judge_file(ota, answer)
    if name is not None and name.epoch < page.activation.epoch:
        faults += (Fault(Kind.BACKWARD, f"epoch {page.activation.epoch}, the pin's", f"epoch {name.epoch}"),)
    return faults
