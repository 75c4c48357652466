"""The trees of one frontend against those that it must hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.domain.audit.expectation import INDEX
from orchestrator.domain.audit.finding import WORDS, Finding, Kind
from orchestrator.domain.audit.observation import InspectedTree, Observation
from orchestrator.domain.audit.place import Place
from orchestrator.domain.audit.trees import Difference, compare, compare_index

#: No tree has more findings than this; the last one says how many more there would be.
MOST_FINDINGS = 100


def tree_findings(place: Place, observed: Observation) -> Iterator[Finding]:
    """Of each tree that was to be listed, its findings: gone, different, or unseen."""
    for path, tree in place.expectation.listed_trees().items():
        if path not in observed.trees:
            if _known_gone(path, observed):
                place.cover(path)
            else:
                yield place.unseen(path, _reason(observed, path))
        elif (inspected := observed.trees[path]) is None:
            # Whether nothing is there, or something else, only the state tells.
            if observed.state is not None:
                place.cover(path)
            yield _not_a_tree(place, path, observed)
        else:
            yield from _compared(place, path, compare(tree, inspected))
    if INDEX not in observed.trees:
        yield place.unseen(INDEX, _reason(observed, INDEX))
    else:
        index = observed.trees[INDEX] or InspectedTree()
        yield from _compared(place, INDEX, compare_index(place.expectation.index(), index))


def _not_a_tree(place: Place, path: str, observed: Observation) -> Finding:
    """What has its name and can't be listed is no directory: a link to another one, say."""
    if observed.state is None or _known_gone(path, observed):
        return place.gone(path)
    return place.finding(Kind.FILE_TYPE, path, "a directory", "something else", shown=place.shown(path))


def _known_gone(path: str, observed: Observation) -> bool:
    """Whether the frontend itself says that a tree is not there: then it could not be listed, and that is told."""
    if observed.state is None:
        return False
    top, _, name = path.partition("/")
    return name not in (observed.state.activations if top == "activations" else observed.state.releases)


def _reason(observed: Observation, path: str) -> str:
    return observed.reasons.get(path) or observed.reasons.get("shell", "")


def _compared(place: Place, path: str, differences: Iterable[Difference]) -> Iterator[Finding]:
    found = sorted(differences, key=_serious_first)
    shown = place.shown(path)
    listed = found if len(found) <= MOST_FINDINGS else found[: MOST_FINDINGS - 1]
    for one in listed:
        yield place.finding(one.kind, f"{path}/{one.path}", one.expected, one.found, shown=shown)
    if len(listed) == len(found):
        place.cover(path)
        return
    # Not covered: what was known of this tree and is not listed now may still be there.
    rest = found[len(listed) :]
    yield place.finding(rest[0].kind, path, "no difference", f"{len(rest)} more differences", shown=shown)


def _serious_first(difference: Difference) -> tuple[int, str, int]:
    return WORDS[difference.kind].seriousness.rank, difference.path, list(Kind).index(difference.kind)
