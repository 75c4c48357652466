"""The doctor: what the ledger, the disks and the addresses say at one moment, brought together and judged.

It changes nothing. docs/doctor.md says what is compared.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import unquote

from inventory.model import Fleet, Frontend
from orchestrator.domain.deployment import Decision, Deployment
from orchestrator.domain.errors import LockstepError, Problem, UsageError
from orchestrator.ota.answers import ServedManifest
from orchestrator.ota.doctor import files
from orchestrator.ota.doctor.asker import Address, Subject, ask_all, ask_alone
from orchestrator.ota.doctor.chart import Chart
from orchestrator.ota.doctor.examination import examine
from orchestrator.ota.doctor.findings import Finding, listed
from orchestrator.ota.doctor.look import Errand, Look, Unseen
from orchestrator.ota.doctor.observations import Asked, Observations, Open, Seat, Standing, Visit
from orchestrator.ota.doctor.questions import Kind, Question, of_documents, of_files
from orchestrator.ota.target import Target
from orchestrator.ports import Artifacts, Clock, Ledger, Looks
from orchestrator.services.charts import chart
from orchestrator.services.deployments import last_committed
from orchestrator.services.rotation import present_rotation

#: How often it begins anew where the fleet moves while it is being looked at.
ATTEMPTS = 3

#: In how many lines at most the looks at the disks are told.
PROGRESS = 10

#: Progress in words.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files are asked for: the one of that name, or all, or a sample. `seconds` bounds the looks at disks."""

    file: str | None = None
    everything: bool = False
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen and found; how many files were asked for, and of how many."""

    seen: Observations
    findings: Sequence[Finding]
    checked: int
    files: int


class Doctor:
    """`looks` gives the way to workers; it raises `LockstepError` where there is none."""

    def __init__(self, ledger: Ledger, artifacts: Artifacts, looks: Callable[[], Looks], clock: Clock) -> None:
        self._ledger = ledger
        self._artifacts = artifacts
        self._looks = looks
        self._clock = clock

    def examine_fleet(self, fleet: Fleet, url: str, app: str, scope: Scope, say: Say) -> Examination:
        """A fleet and the public address before it.

        Raises:
            UsageError: The fleet serves nothing yet, or not this app, or its release can't be read here.
        """
        committed = self._committed(fleet)
        for attempt in range(1, ATTEMPTS + 1):
            examination = self._look_once(fleet, committed, url, app, scope, say)
            now = self._committed(fleet)
            if now.name == committed.name:
                break
            say(f"the fleet was moved to {now.name} meanwhile")
            committed, moved = now, attempt == ATTEMPTS
            if moved:
                examination = replace(examination, seen=replace(examination.seen, moved=True))
        return replace(examination, findings=examine(examination.seen))

    # ── one look at a fleet ──

    def _look_once(
        self, fleet: Fleet, committed: Deployment, url: str, app: str, scope: Scope, say: Say
    ) -> Examination:
        drawn = chart(self._ledger, self._artifacts, committed, app)
        target = Target.of(url, app, drawn.release.mount)
        asked = None if scope.file is None else self._asked_of(drawn, scope.file)
        paths = self._paths(drawn, scope, asked)
        questions = self._questions(target, drawn, paths)
        visits, disks = asyncio.run(self._see(fleet, committed, target, drawn, questions, asked, scope, say))
        token = drawn.other_form(visits[1:])
        if token:
            # Made by another version of Lockstep: they can be held against each other alone.
            drawn = drawn.of_form(token)
            questions = self._questions(target, drawn, paths)
            visits, disks = asyncio.run(self._see(fleet, committed, target, drawn, questions, asked, scope, say))
        seats = self._seats(fleet, visits[1:], disks)
        seen = Observations(
            visits[0], seats, drawn.release, fleet.key, self._open(fleet, seats), asked, other_form=bool(token)
        )
        return Examination(seen, (), len(paths), len(drawn.manifest))

    async def _see(
        self,
        fleet: Fleet,
        committed: Deployment,
        target: Target,
        drawn: Chart,
        questions: Sequence[Question],
        asked: Asked | None,
        scope: Scope,
        say: Say,
    ) -> tuple[list[Visit], Mapping[str, Look | Unseen]]:
        """All addresses and all disks side by side; the public address comes first."""
        addresses = [Address("", target.base_url)]
        addresses += [Address(each.name, each.base_url, fleet.host) for each in fleet.frontends]
        file = "" if asked is None or not asked.path else drawn.urls[asked.path]
        say(f"asking {len(addresses)} addresses {len(questions)} questions each")
        looking = asyncio.to_thread(self._look, fleet, committed, drawn, asked, scope, say)
        visits, disks = await asyncio.gather(ask_all(addresses, questions, Subject(target.mount, file)), looking)
        return visits, disks

    def _look(
        self, fleet: Fleet, committed: Deployment, drawn: Chart, asked: Asked | None, scope: Scope, say: Say
    ) -> Mapping[str, Look | Unseen]:
        """Have workers look at the disks. Where nobody can be sent, it goes on without them."""
        source = next(iter(self._ledger.readmissions(fleet.key, committed.epoch)), committed)
        then = Fleet.model_validate(source.plan.snapshot)
        nonce, file = secrets.token_hex(16), None if asked is None else asked.path or asked.text
        errands, seen = [], {}
        for frontend in fleet.frontends:
            if _reached_alike(frontend, then.frontend(frontend.name)):
                words = (nonce, source.id, frontend.name, drawn.release.app, drawn.known, file, scope.seconds)
                errands.append(Errand(*words))
            else:
                seen[frontend.name] = Unseen(_changed(fleet))
        if not errands:
            return seen
        try:
            looks = self._looks()
        except LockstepError as error:
            say(f"nobody looks at the disks: {error.problem.what}")
            return {**seen, **{errand.frontend: Unseen(error.problem) for errand in errands}}
        say(f"having workers look at {len(errands)} disks")
        every = max(1, len(errands) // PROGRESS)

        def heard(number: int) -> None:
            if number % every == 0 or number == len(errands):
                say(f"{number} of {len(errands)} disks seen")

        return {**seen, **looks.look(errands, scope.seconds, heard)}

    def _seats(self, fleet: Fleet, visits: Sequence[Visit], disks: Mapping[str, Look | Unseen]) -> tuple[Seat, ...]:
        rotation = present_rotation(self._ledger, fleet)
        drains = {drain.frontend: drain for drain in self._ledger.drains(fleet.key)}

        def standing(name: str) -> Standing:
            if name in rotation.drained:
                return Standing.DRAINED
            if name in rotation.new:
                return Standing.NEW
            return Standing.DOUBTED if name in drains else Standing.SERVING

        return tuple(Seat(visit, disks[visit.name], standing(visit.name), drains.get(visit.name)) for visit in visits)

    def _open(self, fleet: Fleet, seats: Sequence[Seat]) -> Open | None:
        row = self._ledger.open_deployment(fleet.key)
        if row is None:
            return None
        committed = row.decision is Decision.COMMIT
        names = sorted({trouble.frontend for trouble in row.troubles if trouble.frontend})
        behind = [seat.name for seat in seats if committed and seat.look and seat.look.current != row.name]
        if names or behind:
            waits = listed(names or behind)
            why = row.troubles[0].problem.get("what", "") if row.troubles else ""
            waits = f"{waits}: {why}" if why else waits
        elif row.plan.hold:
            due = row.plan.due_at
            waits = f"lockstep continue {row.id}" if due is None else f"its time, {due:%Y-%m-%d %H:%M} UTC"
        else:
            waits = "its workers"
        return Open(row.id, str(row.state), committed, waits, bool(row.troubles), row.plan.actor)

    # ── what is asked ──

    def _questions(self, target: Target, drawn: Chart, paths: Sequence[str]) -> list[Question]:
        now, tree = stamp(self._clock), drawn.release.release_tree
        chosen = [drawn.manifest.by_path[path] for path in paths]
        return [*of_documents(target, drawn.documents, tree, now), *of_files(chosen, drawn.urls, tree)]

    @staticmethod
    def _paths(drawn: Chart, scope: Scope, asked: Asked | None) -> list[str]:
        if asked is not None:
            return [asked.path] if asked.path else []
        if scope.everything:
            return sorted(drawn.manifest.by_path)
        return files.sample(drawn.manifest, drawn.before, Random())  # noqa: S311

    @staticmethod
    def _asked_of(drawn: Chart, text: str) -> Asked:
        paths = drawn.manifest.by_path
        path = files.resolve(text, drawn.release.mount, paths)
        return _asked(text, path, paths, drawn.hashes_of(path))

    def _committed(self, fleet: Fleet) -> Deployment:
        committed = last_committed(self._ledger, fleet.key)
        if committed is None:
            raise UsageError(
                f"{fleet.key} serves nothing yet",
                expected="a committed deployment in the ledger",
                remedy=f"see that this is the ledger that deploys it; lockstep deploy {fleet.key} APP=VERSION",
            )
        return committed


def examine_address(target: Target, scope: Scope, clock: Clock, say: Say) -> Examination:
    """A public address of which nothing else is known: held against its own manifest."""
    random, wanted = Random(), scope.file  # noqa: S311
    asked: list[Asked] = []

    def choose(manifest: ServedManifest) -> list[str]:
        paths = sorted(manifest.files)
        if wanted is not None:
            below = {unquote(path[len(target.mount) :]): path for path in paths}
            found = files.resolve(wanted, target.mount, below)
            asked.append(_asked(wanted, found, below, {} if not found else {"": manifest.files[below[found]]}))
            return [below[found]] if found else []
        return paths if scope.everything else random.sample(paths, min(files.SAMPLE, len(paths)))

    say(f"asking {target.base_url}")
    visit, manifest = asyncio.run(ask_alone(Address("", target.base_url), target, stamp(clock), choose))
    seen = Observations(visit, asked=asked[0] if asked else None)
    checked = sum(question.kind is Kind.BY_HASH for question, _ in visit.answered)
    return Examination(seen, examine(seen), checked, 0 if manifest is None else len(manifest.files))


def stamp(clock: Clock) -> int:
    """Milliseconds, as the stock clients keep caches out."""
    return int(clock().timestamp() * 1000)


def _asked(text: str, path: str, paths: Mapping[str, object], hashes: Mapping[str, str]) -> Asked:
    """`hashes` maps versions of the file, the present one first, to the hash that it has there."""
    if not path:
        return Asked(text, near=files.near(text, paths))
    given = files.given_hash(text)
    present = next(iter(hashes.values()), "")
    if given in ("", present):
        return Asked(text, path)
    return Asked(text, path, (), given, tuple(version for version, found in hashes.items() if found == given))


def _reached_alike(now: Frontend, then: Frontend | None) -> bool:
    """Whether the ledger's copy of the fleet leads to the same place as the inventory."""
    return then is not None and now.model_copy(update={"url": then.url}) == then


def _changed(fleet: Fleet) -> Problem:
    return Problem(
        "the inventory has changed since the last deployment, and workers go by the ledger's copy of it",
        expected="the same address, account, host key and root in both",
        remedy=f"it counts from the next deployment or readmission of {fleet.key} on",
    )
