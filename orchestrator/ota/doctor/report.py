"""What was seen, as rows that are shown side by side and as JSON carries it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.paths import show
from orchestrator.ota.doctor.findings import ADDRESS, Finding, verdict
from orchestrator.ota.doctor.look import Look, Unseen
from orchestrator.ota.doctor.observations import Observations, Reply, Seat, Visit
from orchestrator.ota.doctor.questions import Kind, Question

#: Up to so many frontends are all shown; of more, those that differ, and at most so many.
SHOWN = 16
MOST_SHOWN = 40
#: What is not known.
UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class FileValues:
    """The hashes of the file that was asked about, "" for none, `UNKNOWN` where nobody could say.

    As moduleinfo lists it, as it lies on the disk, and as it is served by its hash and by its path.
    """

    listed: str
    disk: str
    by_hash: str
    by_path: str


@dataclass(frozen=True, slots=True)
class Row:
    """One address: whether clients are led to it, its activation on disk and as served, its token, its files."""

    where: str
    standing: str
    disk: str
    served: str
    token: str
    right: int
    wrong: int
    unanswered: int
    file: FileValues | None = None

    @property
    def alike(self) -> tuple[object, ...]:
        """What rows must share to look the same."""
        return (self.standing, self.disk, self.served, self.token, self.right, self.wrong, self.unanswered, self.file)

    def document(self) -> dict[str, Any]:
        """As JSON carries it: what is not known is null."""
        made: dict[str, Any] = {
            "served": _known(self.served),
            "token": _known(self.token),
            "files": {"right": self.right, "wrong": self.wrong, "unanswered": self.unanswered},
        }
        if self.where != ADDRESS:
            made = {"frontend": self.where, "rotation": self.standing, "disk": _known(self.disk), **made}
        if self.file is not None:
            values = self.file
            made["file"] = {
                "moduleinfo": _known(values.listed),
                "by_hash": _known(values.by_hash),
                "by_path": _known(values.by_path),
                **({} if self.where == ADDRESS else {"disk": _known(values.disk)}),
            }
        return made


def rows(seen: Observations) -> list[Row]:
    """The public address, then every frontend."""
    return [_row(seen, seen.address, None), *(_row(seen, seat.visit, seat) for seat in seen.seats)]


def shown(frontends: Sequence[Row]) -> tuple[list[Row], int]:
    """The frontends' rows that people are shown, and how many others there are, all like the most common one."""
    if len(frontends) <= SHOWN:
        return list(frontends), 0
    ((usual, number),) = Counter(row.alike for row in frontends).most_common(1)
    others = [row for row in frontends if row.alike != usual]
    example = next(row for row in frontends if row.alike == usual)
    return [example, *others[:MOST_SHOWN]], number - 1 + len(others[MOST_SHOWN:])


def document(seen: Observations, findings: Sequence[Finding], checked: int, files: int) -> dict[str, Any]:
    """Everything, as `--json` prints it; docs/doctor.md describes it."""
    release = seen.release
    all_rows = rows(seen)
    worst = verdict(findings)
    made: dict[str, Any] = {
        "url": seen.address.url,
        "fleet": seen.fleet or None,
        "verdict": "well" if worst is None else str(worst),
        "checked": {"files": checked, "of": files},
        "release": None,
        "address": all_rows[0].document(),
        "frontends": [row.document() for row in all_rows[1:]],
        "findings": [finding.document() for finding in findings],
    }
    if release is not None:
        made["release"] = {
            "app": release.app,
            "mount": release.mount,
            "version": release.version,
            "digest": release.digest,
            "activation": str(release.name),
            "token": release.token,
        }
    if seen.asked is not None:
        made["file"] = {
            "asked": show(seen.asked.text),
            "path": seen.asked.path or None,
            "manifest": manifest_hash(seen),
        }
    return made


def manifest_hash(seen: Observations) -> str | None:
    """The hash that the release's manifest has for the file that was asked about."""
    questions = (question for question in seen.address.replies if question.kind is Kind.BY_HASH)
    return next((question.expected.ota for question in questions), None)


def _row(seen: Observations, visit: Visit, seat: Seat | None) -> Row:
    files = [(question, reply) for question, reply in visit.replies.items() if question.path]
    answered = [(question, reply) for question, reply in files if isinstance(reply, Reply)]
    right = sum(reply.gives(question) for question, reply in answered)
    look = None if seat is None else seat.look
    return Row(
        where=visit.name or ADDRESS,
        standing="" if seat is None else str(seat.standing),
        disk=UNKNOWN if look is None else str(look.current),
        served=_served(visit),
        token=visit.token or (UNKNOWN if visit.of_kind(Kind.VERSION) is None else ""),
        right=right,
        wrong=len(answered) - right,
        unanswered=len(files) - len(answered),
        file=None if seen.asked is None else _values(seen, visit, seat),
    )


def _served(visit: Visit) -> str:
    if visit.served is not None:
        return str(visit.served)
    return "" if visit.answered else UNKNOWN


def _values(seen: Observations, visit: Visit, seat: Seat | None) -> FileValues:
    info = visit.of_kind(Kind.INFO)

    def served(kind: Kind) -> str:
        found = next(((q, r) for q, r in visit.replies.items() if q.kind is kind), None)
        if found is None:
            return ""
        reply = found[1]
        if not isinstance(reply, Reply):
            return UNKNOWN
        return reply.ota if reply.status == 200 else f"status {reply.status}"

    return FileValues(
        listed=UNKNOWN if info is None else info.listed,
        disk=UNKNOWN if seat is None else _on_disk(seen, seat.disk),
        by_hash=served(Kind.BY_HASH),
        by_path=served(Kind.BY_PATH),
    )


def _on_disk(seen: Observations, disk: Look | Unseen) -> str:
    """The OTA hash where the content is the release's, else its SHA-256: the script hashes nothing else."""
    question = next((q for q in seen.address.replies if q.kind is Kind.BY_HASH), None)
    if not isinstance(disk, Look) or question is None or question.tree is None:
        return UNKNOWN
    if disk.release and disk.release != question.tree.path:
        return _of_other_release(disk, question)
    found = disk.sha256(question.tree, question.below)
    return UNKNOWN if found is None else _spelled(found, question)


def _of_other_release(disk: Look, question: Question) -> str:
    seen = disk.trees.get(disk.release)
    if seen is None or seen.lines is None:
        return UNKNOWN
    return _spelled(next((line.split(" ", 2)[1] for line in seen.lines if line[0] == "f"), ""), question)


def _spelled(sha256: str, question: Question) -> str:
    if sha256 == question.expected.sha256:
        return question.expected.ota or ""
    return sha256 and f"SHA-256 {sha256}"


def _known(text: str) -> str | None:
    return None if text == UNKNOWN else text
