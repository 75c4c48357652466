"""Putting right what lies on a frontend, entry by entry, while it is served. docs/audits.md, "Healing"."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.audit.trees import compare, compare_index
from orchestrator.domain.deployment import Healing
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.domain.layout import Layout, Tree
from workers.distribution.packs import Pack, chunks, mending_pack
from workers.frontend.answers import ScriptRefusedError, printable
from workers.frontend.commands import Init, Spoiled
from workers.frontend.healing import Mend, Remove, Replace, Restore
from workers.frontend.inspection import BY_HASH, Inspect, Inspected, InspectedTree
from workers.frontend.job import Job
from workers.frontend.script import script_sha256
from workers.frontend.survey import Survey, Surveyed
from workers.frontend.transport import SHORT_SECONDS, Session

log = structlog.get_logger()

_NOTHING = InspectedTree()

#: Opens a pack of these objects, by their SHA-256.
Packing = Callable[[Sequence[str]], AbstractContextManager[Pack]]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is not as it should be: the entries of trees, names of `by-hash`, and paths that should not be there."""

    trees: tuple[Tree, ...]
    by_hash: Mapping[str, str]
    extra: tuple[str, ...]

    @property
    def entries(self) -> int:
        """How many are to be put right."""
        return sum(len(tree.files) + len(tree.links) for tree in self.trees) + len(self.by_hash)

    def spares(self, trees: Collection[str]) -> bool:
        """Whether nothing is wrong in these trees."""
        return all(tree.path not in trees for tree in self.trees)

    def objects(self) -> list[str]:
        """The SHA-256 of what they are made of, each once."""
        return sorted({sha for tree in self.trees for sha in tree.files.values()} | set(self.by_hash.values()))

    def first(self) -> str:
        """One of the paths, for a message."""
        for tree in self.trees:
            for path in sorted((*tree.files, *tree.links)):
                return printable(f"{tree.path}/{path}")
        return next((f"{BY_HASH}/{name}" for name in sorted(self.by_hash)), next(iter(self.extra), ""))


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done: entries put right, paths removed, objects and bytes sent, and whether `current` was set."""

    entries: int
    removed: int
    objects: int
    bytes: int
    restored: bool


def find_wrong(trees: Iterable[Tree], by_hash: Mapping[str, str], inspected: Inspected) -> Wrong:
    """Where what was inspected is not what should be. Names of `by-hash` that nobody asks for are no matter."""
    partial: list[Tree] = []
    extra: list[str] = []
    for tree in trees:
        differences = list(compare(tree, inspected.trees[tree.path] or _NOTHING))
        wrong = {each.path for each in differences if each.kind is not Kind.FILE_EXTRA}
        files = {path: sha for path, sha in tree.files.items() if path in wrong}
        links = {path: target for path, target in tree.links.items() if path in wrong}
        if wrong:
            partial.append(Tree(tree.path, files, links))
        # A path with a backslash is one whose name was not told: nobody can name it.
        odd = sorted(each.path for each in differences if each.path not in wrong and "\\" not in each.path)
        extra += [f"{tree.path}/{path}" for path in odd]
    moved = {each.path for each in compare_index(by_hash, inspected.trees[BY_HASH] or _NOTHING)}
    return Wrong(tuple(partial), {name: sha for name, sha in by_hash.items() if name in moved}, tuple(extra))


class Mending:
    """One frontend that is put right, at the name of what is committed and under the fencing token of `healing`."""

    def __init__(self, session: Session, job: Job, healing: Healing, limit: float) -> None:
        self._session = session
        self._root = job.frontend.root
        self._name = job.deployment.name
        self._healing = healing
        self._limit = limit
        layouts = [held.layout for held in job.held]
        self._trees = {tree.path: tree for layout in layouts for tree in (layout.activation, *layout.releases)}
        self._own = {tree.path for tree in (layouts[0].activation, *layouts[0].releases)}
        self._by_hash = {name: sha for layout in reversed(layouts) for name, sha in layout.by_hash.items()}
        self.generated = generated(layouts)

    def make_ready(self) -> None:
        """The script that this Lockstep installs, its directories, a fence, and something that is current."""
        found = self._survey()
        if found is None or found.script != script_sha256():
            self._session.install()
        try:
            self._session.ask(Init(self._root), limit=SHORT_SECONDS)
        except ScriptRefusedError as error:
            # It says so where `current` leads nowhere, after it has made all else. That is put right in the end.
            log.info("init", **error.problem.as_dict())

    def _survey(self) -> Surveyed | None:
        """What the script says, None where there is none that answers as this one does."""
        try:
            return self._session.ask(Survey(self._root, secrets.token_hex(8)), limit=SHORT_SECONDS)
        except (ScriptRefusedError, UnansweredError):
            if not self._session.alive:
                raise
            return None

    def look(self) -> Wrong:
        """Have everything hashed that must be there."""
        asked = Inspect(self._root, deep=True, trees=(*self._trees, BY_HASH))
        return find_wrong(self._trees.values(), self._by_hash, self._session.ask(asked, limit=self._limit))

    def mend(self, wrong: Wrong, pack: Packing) -> Mended:
        """Put it right: objects, then entries, then what should not be there; and `current`, as soon as it may be."""
        restored = wrong.spares(self._own) and self._restore()
        sent, size = self._replace(wrong.objects(), pack)
        # An object that was replaced is another file: its names are to lead to it, right or not.
        by_hash = {**wrong.by_hash, **{name: sha for name, sha in self._by_hash.items() if sha in sent}}
        words = (self._root, self._name, self._healing.fence)
        if wrong.trees or by_hash:
            self._session.ask(Mend(*words), stdin=[mending_pack(wrong.trees, by_hash)], limit=self._limit)
        extra = wrong.extra if self._healing.remove_extra else ()
        if extra:
            lines = "".join(f"{path}\n" for path in extra).encode("utf-8", "surrogateescape")
            self._session.ask(Remove(*words), stdin=[lines], limit=self._limit)
        restored = restored or self._restore()
        return Mended(wrong.entries, len(extra), len(sent), size, restored)

    def _restore(self) -> bool:
        """Lead `current` to what was committed, and raise the fence, where either is not so. Returns whether it was."""
        now = self._survey()
        if now is not None and now.current == str(self._name) and (now.fence or 0) >= self._healing.fence:
            return False
        self._session.ask(Restore(self._root, self._name, self._healing.fence), limit=SHORT_SECONDS)
        return now is None or now.current != str(self._name)

    def prove(self) -> None:
        """`RefusedError` where anything is still wrong."""
        wrong = self.look()
        left = wrong.extra if self._healing.remove_extra else ()
        if wrong.entries or left:
            raise RefusedError(
                "what was put right is wrong again",
                where=f"{self._session.frontend.name}: {self._root}/{wrong.first()}",
                expected="what the ledger says",
                found=f"{wrong.entries + len(left)} entries that differ",
                remedy="find out what writes below the root: only Lockstep may",
            )

    def _replace(self, objects: Sequence[str], pack: Packing) -> tuple[frozenset[str], int]:
        """Send those that the frontend lacks, or holds with other bytes. Returns which, and bytes."""
        wanted = "".join(f"{sha}\n" for sha in objects).encode()
        missing = self._session.ask(Spoiled(self._root), stdin=[wanted], limit=self._limit) if objects else []
        if not missing:
            return frozenset(), 0
        with pack(missing) as opened:
            command = Replace(self._root, self._name, self._healing.fence)
            self._session.ask(command, stdin=chunks(opened.source), limit=self._limit)
        return frozenset(missing), opened.size


def generated(layouts: Iterable[Layout]) -> dict[str, bytes]:
    """The objects of these that exist nowhere else, by SHA-256."""
    return {sha: content for layout in layouts for sha, content in layout.generated.items()}
