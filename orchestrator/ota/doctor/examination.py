"""From what was seen to what is wrong, for the whole of a fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.domain.paths import show
from orchestrator.ota.doctor.address import Address
from orchestrator.ota.doctor.findings import Code, Finding, Severity, gathered, listed
from orchestrator.ota.doctor.frontends import Examined
from orchestrator.ota.doctor.observations import Asked, Observations


def examine(seen: Observations) -> list[Finding]:
    """The findings, the worst first. None at all means that all is well, and that somebody was heard."""
    return gathered(_findings(seen))


def _findings(seen: Observations) -> Iterator[Finding]:
    if seen.release is not None:
        for seat in seen.seats:
            yield from Examined(seen, seen.release, seat).findings()
    yield from Address(seen).findings()
    yield from _of_ledger(seen)
    if seen.asked is not None:
        yield from _of_asked(seen, seen.asked)
    if not seen.fleet:
        yield Finding(
            Code.ADDRESS_ALONE,
            Severity.NOTE,
            "only the public address was examined: no fleet of the inventory has this `url`",
            remedy="name the fleet with --fleet, or give it this `url` in the inventory",
        )
    if not any(visit.answered for visit in (seen.address, *(seat.visit for seat in seen.seats))):
        yield Finding(
            Code.NOTHING_EXAMINED,
            Severity.UNKNOWN,
            "nothing answered: nothing is known of what clients are served",
            expected="an answer from at least one address",
            found="none",
        )


def _of_ledger(seen: Observations) -> Iterator[Finding]:
    if seen.moved:
        yield Finding(
            Code.MOVED,
            Severity.UNKNOWN,
            "the fleet was moved again and again while it was looked at: nothing of this was seen at one moment",
            remedy="ask again when the deployment has ended: lockstep status",
        )
    if seen.other_form:
        yield Finding(
            Code.OTHER_FORM,
            Severity.UNKNOWN,
            "the documents were made by another version of Lockstep: whether they are right is not known",
            expected="documents as this version makes them",
            found="the same others on every frontend",
            remedy="the next deployment makes them anew; until then they are held against each other alone",
        )
    going = seen.open
    if going is not None:
        wrong = going.committed and going.resting
        ways = f"watch it: lockstep deployments show {going.number}; "
        ways += (
            f"have everybody asked again: lockstep continue {going.number}"
            if going.committed
            else f"end it: lockstep abort {going.number}"
        )
        yield Finding(
            Code.OPEN_DEPLOYMENT,
            Severity.WRONG if wrong else Severity.NOTE,
            f"deployment {going.number} is not finished: {going.state}, by {going.actor}",
            expected="committed and carried out everywhere" if wrong else "",
            found=f"it waits for {going.waits_for}",
            remedy=ways,
        )


def _of_asked(seen: Observations, asked: Asked) -> Iterator[Finding]:
    if not asked.path:
        release = "what is served" if seen.release is None else f"{seen.release.app} {seen.release.version}"
        near = f"; it lists {listed([show(path) for path in asked.near])}" if asked.near else ""
        yield Finding(
            Code.NOT_LISTED,
            Severity.WRONG,
            f"{show(asked.text)} is no file of {release}",
            expected="a path of the release, or its URL path",
            found=f"no such path{near}",
            remedy="see lockstep release show; a page or a client that asks for it was made for another release",
        )
    elif asked.hash:
        known = f"the hash of that file in {listed(asked.hash_of)}" if asked.hash_of else "the hash of no release here"
        yield Finding(
            Code.OTHER_HASH,
            Severity.NOTE,
            f"the hash {show(asked.hash)} that was given is not that of {show(asked.path)} now",
            expected="the hash that the manifest has",
            found=known,
            remedy="a client that updates gets the present manifest the next time that it asks",
        )
