"""What is wrong with one frontend: its disk and its answers, held against the ledger's release. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.paths import show
from orchestrator.ota.doctor.findings import Code, Finding, Severity, listed
from orchestrator.ota.doctor.look import Difference, Look, Unseen
from orchestrator.ota.doctor.observations import OK, Observations, Release, Reply, Seat, Standing
from orchestrator.ota.doctor.questions import Question

RECIPE = "see that its web server has the recipe (lockstep frontend recipe nginx) and serves the root of the inventory"
WRITES = "find out what writes below its root (only Lockstep may)"


@dataclass(frozen=True)
class Examined:
    """A frontend under examination."""

    seen: Observations
    release: Release
    seat: Seat

    def findings(self) -> Iterator[Finding]:
        """Everything that there is to say of it. Of one that nobody is led to, it is only noted."""
        yield from self._standing()
        for finding in (*self._silence(), *self._faults()):
            if self.seat.standing.led_to:
                yield finding
            else:
                yield replace(finding, severity=Severity.NOTE)

    # ── whether clients are led to it ──

    def _standing(self) -> Iterator[Finding]:
        drain, name = self.seat.drain, self.seat.name
        back = f"lockstep readmit {self.seen.fleet} {self._named}"
        why = "" if drain is None else f"{drain.reason}, by {drain.actor}"
        match self.seat.standing:
            case Standing.DRAINED:
                yield self._note(Code.DRAINED, "drained: nobody is led to it", why, f"when it is well again: {back}")
            case Standing.NEW:
                what = "new in the inventory: it was never in rotation"
                yield self._note(Code.NEW_FRONTEND, what, "", f"bring it in: {back}")
            case Standing.DOUBTED:
                problem = "" if drain is None else drain.problem.get("what", "")
                yield Finding(
                    Code.DRAIN_NOT_CONFIRMED,
                    Severity.UNKNOWN,
                    "to be drained, and nobody has confirmed it: clients may be led to it",
                    (name,),
                    found=f"{why}; {problem}" if problem else why,
                    remedy="see that the load balancer's admin socket answers; workers try every 5 s",
                )

    def _note(self, code: Code, what: str, found: str, remedy: str) -> Finding:
        return Finding(code, Severity.NOTE, what, (self.seat.name,), found=found, remedy=remedy)

    # ── what nobody knows ──

    def _silence(self) -> Iterator[Finding]:
        silent, answered = self.seat.visit.silent, self.seat.visit.answered
        if silent:
            some = f"{len(silent)} of {len(silent) + len(answered)} questions without an answer" if answered else ""
            yield self._finding(
                Code.SILENT_FRONTEND,
                "its web server does not answer: what it serves is not known",
                expected="an answer at its own `url` of the inventory",
                found=f"{some}: {silent[0][1].reason}" if some else silent[0][1].reason,
                remedy="see that its web server runs, and that this machine may reach its `url`",
                severity=Severity.UNKNOWN,
            )
        if isinstance(self.seat.disk, Unseen):
            problem = self.seat.disk.problem
            yield self._finding(
                Code.UNSEEN_DISK,
                "nobody could look at its disk: what lies there is not known",
                expected=problem.expected,
                found="; ".join(text for text in (problem.what, problem.found) if text),
                remedy=problem.remedy,
                severity=Severity.UNKNOWN,
            )

    # ── what is wrong ──

    def _faults(self) -> Iterator[Finding]:
        look, served, answered = self.seat.look, self.seat.visit.served, self.seat.visit.answered
        if answered and served is None and all(reply.gives(question) for question, reply in answered):
            yield self._finding(
                Code.STRIPPED_ACTIVATION,
                "its answers name no activation: clients' pins can't be kept",
                expected=f"Lockstep-Activation: {self.release.name}",
                found="no such header",
                remedy=RECIPE,
            )
            served = self.release.name
        if look is not None:
            yield from self._held_against_ledger(look.current, "on its disk, `current` is")
            if not answered:
                if look.current == self.release.name:
                    yield from self._damage(look)
                return
            if served != look.current:
                found = "no activation" if served is None else f"activation {served}"
                yield self._finding(
                    Code.WEB_SERVER_DIFFERS,
                    "its web server serves something else than what lies on its disk",
                    expected=f"activation {look.current}, which is `current` there",
                    found=f"{found}, {self._first()}" if served is None else found,
                    remedy=RECIPE,
                )
                return
            if look.current == self.release.name:
                yield from self._damage(look)
                yield from self._bytes(look)
        elif served is not None and served != self.release.name:
            yield from self._held_against_ledger(served, "it serves")
        elif answered:
            yield from self._bytes(None)

    def _held_against_ledger(self, name: ActivationName, what: str) -> Iterator[Finding]:
        if name == self.release.name:
            return
        if name == NOTHING or name in self.release.activations:
            yield self._finding(
                Code.OLD_CONTENT,
                "old content: it does not have the release that the ledger committed",
                expected=f"activation {self.release.name}",
                found=f"{what} {name}",
                remedy=self._catch_up(),
            )
        else:
            yield self._finding(
                Code.UNKNOWN_ACTIVATION,
                "an activation that this ledger never committed",
                expected=f"activation {self.release.name}",
                found=f"{what} {name}",
                remedy="see whether another Lockstep, with another ledger, deploys to it; then drain it and readmit it",
            )

    def _catch_up(self) -> str:
        going = self.seen.open
        if going is not None and going.committed:
            return f"it catches up when it can be reached; at once: lockstep continue {going.number}"
        return self._anew()

    def _anew(self) -> str:
        fleet, name = self.seen.fleet, self._named
        return f"lockstep drain {fleet} {name}, then lockstep readmit {fleet} {name}: it is staged and proven anew"

    @property
    def _named(self) -> str:
        """Its name in a command, so written that findings of several frontends are told as one."""
        return self.seat.name if len(self.seen.seats) == 1 else "FRONTEND"

    def _damage(self, look: Look) -> Iterator[Finding]:
        differences: list[Difference] = []
        unread = []
        for tree in (self.release.activation_tree, self.release.release_tree):
            if tree is None:
                continue
            found = look.differences(tree)
            if found is None and self.seen.asked is None:
                unread.append(tree.path)
            differences += found or ()
        if self.seen.asked is not None:
            differences = self._damage_of_asked(look)
        if not differences and unread:
            where = f"somewhere in {listed(unread)}"
            yield self._damaged(where, "the listing of what was staged there", "another one, too long to be sent")
        elif differences:
            where = listed([show(difference.path) for difference in differences])
            first = differences[0]
            yield self._damaged(where, first.expected, first.found)

    def _damage_of_asked(self, look: Look) -> list[Difference]:
        assert self.seen.asked is not None
        path, tree = self.seen.asked.path, self.release.release_tree
        found = look.sha256(tree, path) if path else None
        if look.release != tree.path:
            return [Difference(tree.path, "what `current` leads to", look.release or "no release of the app")]
        if found is None or found == tree.files[path]:
            return []
        return [Difference(path, f"a file of SHA-256 {tree.files[path]}", f"SHA-256 {found}" if found else "nothing")]

    def _damaged(self, where: str, expected: str, found: str) -> Finding:
        return self._finding(
            Code.DAMAGED_CONTENT,
            f"damaged content on its disk: {where}",
            expected=expected,
            found=found,
            remedy=f"{WRITES}; then {self._anew()}",
        )

    def _bytes(self, look: Look | None) -> Iterator[Finding]:
        wrong = [
            (question, reply)
            for question, reply in self.seat.visit.answered
            if not reply.gives(question) and not _explained(look, question, reply)
        ]
        if not wrong:
            return
        names = listed([show(question.name) for question, _ in wrong])
        question, reply = wrong[0]
        if look is None:
            code, what = Code.OTHER_BYTES, f"it serves other bytes than the release has: {names}"
            remedy = f"look at its disk and its web server; {RECIPE}"
        else:
            code, what = Code.WEB_SERVER_DIFFERS, f"its web server serves other bytes than lie on its disk: {names}"
            remedy = f"{RECIPE}, and that nothing there changes content (sub_filter, ssi, charset)"
        yield self._finding(code, what, expected=_wanted(question), found=str(reply), remedy=remedy)

    def _first(self) -> str:
        _, reply = self.seat.visit.answered[0]
        return str(reply)

    def _finding(
        self, code: Code, what: str, *, expected: str, found: str, remedy: str, severity: Severity = Severity.WRONG
    ) -> Finding:
        return Finding(code, severity, what, (self.seat.name,), expected, found, remedy)


def _explained(look: Look | None, question: Question, reply: Reply) -> bool:
    """Whether its disk, damaged as it is, has just these bytes, or has none and none came."""
    if look is None or question.tree is None:
        return False
    there = look.sha256(question.tree, question.below)
    if there is None:
        return True
    return there == reply.sha256 if reply.status == OK else not there


def _wanted(question: Question) -> str:
    known = question.expected
    return f"{known.size} bytes, hash {known.ota}" if known.ota else "status 200"
