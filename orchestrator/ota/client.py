"""One over-the-air client that looks at every answer: what it asks, what it remembers. No I/O.

A round is a generator: it yields what to ask and is sent what came back, so that whoever drives it chooses how to
fetch. What is right is decided in `orchestrator.ota.judgement`; docs/observe.md describes a round.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from random import Random
from typing import TypeVar

from orchestrator.domain.activation import ActivationName
from orchestrator.ota import judgement as judge
from orchestrator.ota.answers import (
    Answer,
    MalformedError,
    NoAnswer,
    ServedManifest,
    read_manifest,
    read_name,
    read_version,
)
from orchestrator.ota.tally import Count, Fault, Finding, Tally
from orchestrator.ota.target import Ask, Target

#: Of the files that changed, how many a round fetches at most; of all, how many besides; by plain path, how many.
CHANGED = 64
MORE = 3
PARTS = 2
#: How many activations' tokens a client remembers.
TOLD = 64

T = TypeVar("T")
#: A part of a round: it asks, is sent what came back, and returns what it made of it.
Asking = Generator[Ask, Answer | NoAnswer, T]
Named = tuple[Answer, ActivationName | None]


class Client:
    """What one client has seen. `elapsed` gives seconds since the start, `stamp` milliseconds since 1970."""

    def __init__(
        self,
        target: Target,
        tally: Tally,
        *,
        random: Random,
        elapsed: Callable[[], float],
        stamp: Callable[[], int],
    ) -> None:
        self._target = target
        self._tally = tally
        self._random = random
        self._elapsed = elapsed
        self._stamp = stamp
        self._seen: int | None = None
        self._page: judge.Page | None = None
        self._told: dict[ActivationName, str] = {}
        self._manifest: ServedManifest | None = None
        self._paths: tuple[str, ...] = ()
        self._waiting: judge.Waiting | None = None

    def round(self) -> Asking[bool]:
        """One round. Returns False where it could not be gone through, so that the next one may wait a little."""
        token = yield from self._check_version()
        if token is None:
            return False
        before = self._manifest
        manifest = before if before is not None and before.token == token else (yield from self._fetch_manifest(token))
        if manifest is None:
            return False
        self._settle(manifest)
        changed = [] if manifest is before else manifest.changed(before)
        picked = self._pick(changed, CHANGED) + self._pick(self._paths, MORE)
        for path in dict.fromkeys(picked):
            if not (yield from self._fetch_by_hash(path, manifest)):
                return False
        return (yield from self._open_page(manifest))

    def _check_version(self) -> Asking[str | None]:
        ask = self._target.version(self._stamp())
        got = yield from self._named_answer(ask)
        if got is None:
            return None
        answer, name = got
        token = None
        faults = judge.judge_status(answer)
        if not faults:
            faults = judge.judge_forward(self._seen, name, answer)
            try:
                token = read_version(answer.body)
            except MalformedError as error:
                faults += (error.fault,)
        if token is not None:
            if name is not None:
                faults += judge.judge_told(self._told, name, token)
                self._tell(name, token)
            self._tally.see(token, None if name is None else name.epoch, self._elapsed())
            self._page = None if name is None else judge.Page(name, token)
        self._note(ask, faults, name)
        self._saw(answer, name)
        return token

    def _fetch_manifest(self, token: str) -> Asking[ServedManifest | None]:
        ask = self._target.manifest(token)
        answer = yield ask
        if isinstance(answer, NoAnswer):
            self._note(ask, (answer.fault,), None)
            return None
        manifest = None
        faults = judge.judge_manifest_status(token, answer)
        if not faults:
            try:
                manifest = read_manifest(answer.body, self._target.mount)
                faults = judge.judge_manifest(token, manifest)
            except MalformedError as error:
                faults = (error.fault,)
        self._note(ask, faults, None)
        if manifest is None or faults:
            return None
        self._manifest = manifest
        self._paths = tuple(manifest.files)
        return manifest

    def _settle(self, manifest: ServedManifest) -> None:
        """Judge the document of the round before that waited for this round's version check."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        faults = None if self._page is None else judge.judge_waiting(waiting, self._page, manifest)
        if faults is None:
            self._tally.unjudged += 1
        else:
            self._note(self._target.document(waiting.path), faults, waiting.activation)

    def _fetch_by_hash(self, path: str, manifest: ServedManifest) -> Asking[bool]:
        ota = manifest.files[path]
        ask = self._target.by_hash(path, ota)
        answer = yield ask
        faults = (answer.fault,) if isinstance(answer, NoAnswer) else judge.judge_file(ota, answer)
        return self._note(ask, faults, None)

    def _open_page(self, manifest: ServedManifest) -> Asking[bool]:
        """The entry document as navigation, then parts of it. A document of another release ends the round."""
        if self._page is None:
            return True
        if manifest.entry is not None and not (yield from self._fetch_document(manifest.entry, manifest)):
            return self._waiting is not None
        for path in self._pick(self._paths, PARTS):
            if not (yield from self._fetch_part(path, manifest.files[path])):
                return False
        return True

    def _fetch_document(self, path: str, manifest: ServedManifest) -> Asking[bool]:
        """Returns whether the page that is open now is of the release of `manifest`."""
        page = self._page
        ask = self._target.document(path)
        got = yield from self._named_answer(ask)
        if got is None or page is None:
            return False
        answer, name = got
        forward = judge.judge_forward(self._seen, name, answer)
        verdict = judge.judge_document(page, self._told, manifest.files[path], name, answer)
        self._saw(answer, name)
        if isinstance(verdict, ActivationName):
            self._waiting = judge.Waiting(path, answer, verdict)
            self._find(ask, forward, name)
            return False
        whole = self._note(ask, forward + verdict, name)
        if whole and name is not None:
            self._page = judge.Page(name, page.token)
        return whole

    def _fetch_part(self, path: str, ota: str) -> Asking[bool]:
        ask = self._target.part(path)
        got = yield from self._named_answer(ask)
        if got is None or self._page is None:
            return False
        answer, name = got
        self._saw(answer, name)
        return self._note(ask, judge.judge_part(self._page, ota, name, answer), name)

    def _named_answer(self, ask: Ask) -> Asking[Named | None]:
        """What came back, with the activation that it names; what can't be judged is noted, and None."""
        answer = yield ask
        if isinstance(answer, NoAnswer):
            self._note(ask, (answer.fault,), None)
            return None
        try:
            return answer, read_name(answer)
        except MalformedError as error:
            self._note(ask, (error.fault,), None)
            return None

    def _note(self, ask: Ask, faults: tuple[Fault, ...], name: ActivationName | None) -> bool:
        """Count an answer and its faults. Returns whether it could be judged: an error is not a check."""
        judged = all(fault.kind.counted is not Count.ERRORS for fault in faults)
        self._tally.checks += judged
        self._find(ask, faults, name)
        return judged

    def _find(self, ask: Ask, faults: tuple[Fault, ...], name: ActivationName | None) -> None:
        for fault in faults:
            epoch = None if name is None else name.epoch
            self._tally.find(Finding(fault, self._target.base_url + ask.url, epoch, self._elapsed()))

    def _saw(self, answer: Answer, name: ActivationName | None) -> None:
        """Only what is served counts as seen: a web server need not set the pin where it has nothing to serve."""
        if name is not None and answer.status == judge.OK:
            self._seen = name.epoch if self._seen is None else max(self._seen, name.epoch)

    def _tell(self, name: ActivationName, token: str) -> None:
        self._told[name] = token
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]

    def _pick(self, paths: Sequence[str], number: int) -> list[str]:
        return self._random.sample(paths, min(number, len(paths)))
