"""How one release differs from another, file by file."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.release import File, Manifest


@dataclass(frozen=True, slots=True)
class Change:
    """One path whose content differs."""

    before: File
    after: File


@dataclass(frozen=True, slots=True)
class Difference:
    """The paths that came, went, or hold other content, each sorted by path."""

    added: tuple[File, ...]
    removed: tuple[File, ...]
    changed: tuple[Change, ...]


def difference(before: Manifest, after: Manifest) -> Difference:
    """What changes on the way from `before` to `after`."""
    old, new = before.by_path, after.by_path
    return Difference(
        added=tuple(f for f in after if f.path not in old),
        removed=tuple(f for f in before if f.path not in new),
        changed=tuple(Change(old[f.path], f) for f in after if f.path in old and old[f.path] != f),
    )
