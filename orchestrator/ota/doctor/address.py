"""What is wrong at the public address: its answers, held against the frontends' and the release. Pure.

What a frontend that clients are led to serves as well is that frontend's fault, and is said of it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.domain.paths import show
from orchestrator.ota.doctor.findings import ADDRESS, Code, Finding, Severity, listed
from orchestrator.ota.doctor.observations import OK, Observations, Reply
from orchestrator.ota.doctor.questions import Kind, Question

BETWEEN = "what stands between clients and the frontends (load balancer, CDN, proxy)"
PURGE = (
    f"find the cache in {BETWEEN}: it must obey Cache-Control and keep nothing by path alone; purge what it has kept "
    "(docs/serving.md, 'Caches')"
)


@dataclass(frozen=True)
class Compared:
    """A question, the address' answer to it, and those of the frontends that clients are led to."""

    question: Question
    reply: Reply
    frontends: tuple[Reply, ...]

    @property
    def explained(self) -> bool:
        """Whether a frontend answers the same."""
        reply = self.reply
        if reply.status != OK:
            # The words of an error are anybody's.
            return any(other.status == reply.status for other in self.frontends)
        return any(reply.same(other) and reply.name == other.name for other in self.frontends)


@dataclass(frozen=True)
class Address:
    """The public address under examination."""

    seen: Observations

    def findings(self) -> Iterator[Finding]:
        """Everything that there is to say of it."""
        yield from self._silence()
        compared = [self._compared(question, reply) for question, reply in self.seen.address.answered]
        if not compared:
            return
        if self._elsewhere():
            yield self._other_content()
            return
        stale = [each for each in compared if self._stale(each)]
        if stale:
            yield self._stale_cache(stale)
        fresh = [each for each in compared if each not in stale]
        kept = [each for each in fresh if self._was_kept(each)]
        yield from self._kept(kept)
        yield from self._failing(fresh)
        yield from self._changed(fresh)
        # What a cache kept from another request has the headers of that one.
        yield from self._headers([each for each in fresh if each not in kept])

    def _compared(self, question: Question, reply: Reply) -> Compared:
        others = (seat.visit.reply(question) for seat in self.seen.led_to)
        return Compared(question, reply, tuple(other for other in others if other is not None))

    # ── not known ──

    def _silence(self) -> Iterator[Finding]:
        silent, answered = self.seen.address.silent, self.seen.address.answered
        if silent:
            some = f"{len(silent)} of {len(silent) + len(answered)} questions without an answer: " if answered else ""
            yield Finding(
                Code.SILENT_ADDRESS,
                Severity.UNKNOWN,
                "it does not answer: what clients are served is not known",
                (ADDRESS,),
                "an answer",
                f"{some}{silent[0][1].reason}",
                f"see that the URL is right, and {BETWEEN}",
            )

    # ── something else altogether ──

    def _elsewhere(self) -> bool:
        """Whether another site, or another app, answers: its version check is none, or has a token of nobody's."""
        version = self.seen.address.of_kind(Kind.VERSION)
        if version is None:
            return False
        theirs = [seat.visit for seat in self.seen.led_to]
        if any(version.same(other) for visit in theirs if (other := visit.of_kind(Kind.VERSION)) is not None):
            return False
        release = self.seen.release
        if not version.token:
            # An error of a frontend comes through as it is; that of somebody on the way is no other content.
            return version.status < 500
        return release is not None and version.token not in {release.token, *release.tokens, *(v.token for v in theirs)}

    def _other_content(self) -> Finding:
        version, release = self.seen.address.of_kind(Kind.VERSION), self.seen.release
        assert version is not None
        app = "the app" if release is None else release.app
        found = f"token {version.token}" if version.token else f"{version}, no version token"
        return self._wrong(
            Code.OTHER_CONTENT,
            f"other content lies behind it: not {app} of this fleet",
            expected="a version token of the app" if release is None else f"token {release.token}",
            found=found,
            remedy="see that the URL, --app and --fleet belong together; then whereto the address leads",
        )

    # ── a cache ──

    def _stale(self, each: Compared) -> bool:
        """Whether it is older than what every frontend serves: by its activation, its token or its bytes."""
        release, reply = self.seen.release, each.reply
        if release is None or each.explained:
            return False
        # Nobody was heard: then the ledger's word is all there is to hold it against.
        epochs = [other.name.epoch for other in each.frontends if other.name is not None] or [release.name.epoch]
        if reply.name is not None and reply.name.epoch < min(epochs):
            return True
        if reply.token and release.is_earlier(reply.token):
            return all(other.token != reply.token for other in each.frontends)
        return not reply.gives(each.question) and reply.sha256 in release.earlier.get(each.question.path, ())

    def _stale_cache(self, stale: list[Compared]) -> Finding:
        release, first = self.seen.release, stale[0]
        assert release is not None
        drained = [
            seat.name
            for seat in self.seen.seats
            if not seat.standing.led_to and first.reply.name is not None and seat.visit.served == first.reply.name
        ]
        also = f"; {listed(drained)}, out of rotation, would answer so: see that nobody is led there" if drained else ""
        heard = any(each.frontends for each in stale)
        than = "every frontend that clients are led to serves" if heard else "the ledger committed"
        token = f", token {first.reply.token}" if first.reply.token else ""
        return self._wrong(
            Code.STALE_CACHE,
            f"it answers with older content than {than}: a cache before the fleet keeps it ({_names(stale)})",
            expected=f"activation {release.name}, token {release.token}",
            found=f"{first.reply}{token}; {first.reply.evidence}{also}",
            remedy=PURGE,
        )

    def _was_kept(self, each: Compared) -> bool:
        """Whether a cache says that it kept what it may not: a part by its path may be kept, but must be asked for."""
        kind = each.question.kind
        return each.reply.kept and (kind.navigation or (kind is Kind.BY_PATH and self._other_control(each)))

    def _kept(self, kept: list[Compared]) -> Iterator[Finding]:
        if kept:
            yield self._wrong(
                Code.KEPT_ANSWER,
                f"a cache before the fleet keeps what must be asked for each time ({_names(kept)})",
                expected="every version check, page and part by its plain path from a frontend",
                found=kept[0].reply.evidence,
                remedy=PURGE,
            )

    # ── other bytes ──

    def _failing(self, fresh: list[Compared]) -> Iterator[Finding]:
        failing = [each for each in fresh if each.reply.status != OK and not each.explained]
        if failing:
            first = failing[0]
            all_right = bool(first.frontends) and all(other.status == OK for other in first.frontends)
            yield self._wrong(
                Code.FAILING_ADDRESS,
                f"it does not give what {'every frontend gives' if all_right else 'it should'} ({_names(failing)})",
                expected="status 200",
                found=f"{first.reply}; {first.reply.evidence}",
                remedy=f"see {BETWEEN}: its log says why",
            )

    def _changed(self, fresh: list[Compared]) -> Iterator[Finding]:
        changed = [each for each in fresh if each.reply.status == OK and self._other_bytes(each)]
        if not changed:
            return
        heard = any(each.frontends for each in changed)
        first = changed[0]
        if heard:
            code, what = Code.CHANGED_CONTENT, "something before the fleet changes content"
            remedy = f"find what rewrites bodies in {BETWEEN}: monitoring scripts, minifiers, sub_filter; switch it off"
        else:
            code, what = Code.OTHER_BYTES, "it serves other bytes than their hash says"
            fleet = "" if self.seen.fleet else "with --fleet it can be said where they come from; "
            remedy = f"{fleet}see the frontends first, then {BETWEEN}"
        yield self._wrong(
            code,
            f"{what} ({_names(changed)})",
            expected=str(first.frontends[0]) if heard and first.frontends else _wanted(first.question),
            found=f"{first.reply}; {first.reply.evidence}",
            remedy=remedy,
        )

    def _other_bytes(self, each: Compared) -> bool:
        """Whether the bytes are neither the release's, nor what a frontend gives for the same."""
        if each.explained or any(each.reply.same(other) for other in each.frontends):
            return False
        if each.frontends:
            same = [other for other in each.frontends if other.name == each.reply.name or each.reply.name is None]
            return bool(same) and not each.reply.gives(each.question)
        return not each.reply.gives(each.question)

    # ── headers ──

    def _headers(self, fresh: list[Compared]) -> Iterator[Finding]:
        right = [each for each in fresh if each.reply.status == OK]

        def lost(has: Callable[[Reply], bool], among: Callable[[Kind], bool]) -> list[Compared]:
            return [
                each
                for each in right
                if among(each.question.kind)
                and not has(each.reply)
                and all(has(other) for other in each.frontends if other.status == OK)
                and any(other.status == OK for other in each.frontends)
            ]

        other_control = [each for each in right if self._other_control(each)]
        if other_control:
            first = other_control[0]
            yield self._wrong(
                Code.CHANGED_CACHE_CONTROL,
                f"something before the fleet changes Cache-Control ({_names(other_control)})",
                expected=next(o for o in first.frontends if o.status == OK).cache.get("cache-control", "none"),
                found=first.reply.cache.get("cache-control", "none"),
                remedy=f"have it passed on as it is by {BETWEEN}: caches and clients go by it",
            )
        if nameless := lost(lambda reply: reply.name is not None, lambda kind: kind.named):
            yield self._wrong(
                Code.STRIPPED_ACTIVATION,
                f"something before the fleet strips Lockstep-Activation ({_names(nameless)})",
                expected="the header, as the frontends send it",
                found="none",
                remedy=f"have it passed on by {BETWEEN}: without it nobody can see which release answered",
            )
        if unpinned := lost(lambda reply: reply.pin, lambda kind: kind.navigation):
            yield self._wrong(
                Code.STRIPPED_COOKIE,
                f"something before the fleet strips the pin's Set-Cookie ({_names(unpinned)})",
                expected="Set-Cookie: lockstep=…, as the frontends send it",
                found="none",
                remedy=f"have cookies passed on by {BETWEEN}: without the pin a client may go back during a flip",
            )

    @staticmethod
    def _other_control(each: Compared) -> bool:
        controls = {other.control for other in each.frontends if other.status == OK}
        return bool(controls) and each.reply.control not in controls

    @staticmethod
    def _wrong(code: Code, what: str, *, expected: str, found: str, remedy: str) -> Finding:
        return Finding(code, Severity.WRONG, what, (ADDRESS,), expected, found, remedy)


def _names(compared: list[Compared]) -> str:
    return listed([show(each.question.name) for each in compared])


def _wanted(question: Question) -> str:
    return f"hash {question.expected.ota}" if question.expected.ota else "status 200"
