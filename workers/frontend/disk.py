"""What lies on a frontend's disk, held against what was staged there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.domain.layout import Tree
from workers.frontend.answers import printable
from workers.frontend.commands import Discard, Listing, Verify
from workers.frontend.job import Held
from workers.frontend.transport import SHORT_SECONDS, Session


def check_disk(session: Session, fencing: ActivationName, held: Held, limit: float) -> None:
    """Have every file of an activation hashed; `RefusedError` where anything differs from what was staged.

    What differs is removed under the epoch of `fencing`, so that the next stage sends it and rebuilds the tree.
    """
    frontend, root = session.frontend, session.frontend.root
    layout = held.layout
    releases = tuple(tree.path.removeprefix("releases/") for tree in layout.releases)
    found = session.ask(Verify(root, held.name, releases), limit=limit)
    for tree in (layout.activation, *layout.releases):
        if found.get(tree.path) == tree.digest():
            continue
        listed = session.ask(Listing(root, tree.path), limit=limit)
        differences = list(differing(tree, listed))
        if not differences:
            raise UnansweredError(
                f"{tree.path} changed while it was verified", where=frontend.name, remedy="deploy again"
            )
        _discard(session, fencing, tree, {path for path, _, _ in differences})
        path, expected, other = differences[0]
        more = f", and {len(differences) - 1} more entries" if len(differences) > 1 else ""
        raise RefusedError(
            "what lies on the disk is not what was staged",
            where=f"{frontend.name}: {root}/{tree.path}/{path}",
            expected=expected,
            found=f"{other}{more}",
            remedy="find out what writes below the root (only Lockstep may), then deploy again",
        )


def _discard(session: Session, fencing: ActivationName, tree: Tree, paths: Iterable[str]) -> None:
    """A changed file may be a changed object: it goes."""
    wanted = set(paths)
    changed = {sha for path, sha in tree.files.items() if printable(path) in wanted}
    lines = "".join(f"{sha}\n" for sha in sorted(changed)).encode()
    session.ask(Discard(session.frontend.root, fencing), stdin=[lines], limit=SHORT_SECONDS)


def differing(tree: Tree, listed: list[str]) -> Iterator[tuple[str, str, str]]:
    """Where a listing differs from what it should be: path, expected, found."""
    expected, found = ({line.split(" ", 2)[2]: line for line in lines} for lines in (tree.listing(), listed))
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            yield printable(path), _entry(expected.get(path)), _entry(found.get(path))


def _entry(line: str | None) -> str:
    if line is None:
        return "nothing"
    kind, value, _ = line.split(" ", 2)
    kinds = {"f": f"a file of SHA-256 {value}", "l": f"a link to {value}"}
    return printable(kinds.get(kind, "something that is neither a file nor a link"))
