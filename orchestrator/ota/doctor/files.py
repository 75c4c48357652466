"""Which files are looked at: the one that was asked about, all, or a sample. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from random import Random
from urllib.parse import unquote, urlsplit

from orchestrator.domain.release import OTA_HASH, Manifest

#: How many files are asked for unless all are; of them at most half are those that changed with the present release.
SAMPLE = 32
#: How many paths that look like the one that was asked about are named.
NEAR = 3


def resolve(text: str, mount: str, paths: Collection[str]) -> str:
    """The path among `paths` (of a release mounted at `mount`) that an operator means; "" where there is none.

    It may be a path of the release, its URL path, or a whole URL, percent-encoded or not, with a query or without, as a
    client's log has it. What is there to the letter is meant before anything else.
    """
    plain = text.partition("?")[0]
    spelled = [text, plain]
    if "://" in plain:
        spelled.append(_url_path(plain))
    for each in list(spelled):
        if each.startswith(mount):
            spelled.append(each[len(mount) :])
        spelled.append(each.lstrip("/"))
    candidates = [*spelled, *(unquote(each) for each in spelled)]
    return next((each for each in candidates if each in paths), "")


def given_hash(text: str) -> str:
    """The OTA hash in what an operator typed, "" where there is none."""
    found = text.rpartition("?")[2] if "?" in text else ""
    decoded = unquote(found)
    return decoded if OTA_HASH.fullmatch(decoded) else ""


def near(text: str, paths: Collection[str]) -> Sequence[str]:
    """Paths that look like what was asked about."""
    return difflib.get_close_matches(unquote(text.partition("?")[0]).lstrip("/"), list(paths), NEAR)


def sample(manifest: Manifest, before: Manifest | None, random: Random) -> list[str]:
    """The paths of a sample: of those that changed first, since old copies of these do harm."""
    held: Mapping[str, object] = {} if before is None else {f.path: f.sha256 for f in before}
    changed = [f.path for f in manifest if held.get(f.path) != f.sha256]
    first = random.sample(changed, min(SAMPLE // 2, len(changed)))
    rest = sorted(set(manifest.by_path) - set(first))
    return sorted([*first, *random.sample(rest, min(SAMPLE - len(first), len(rest)))])


def _url_path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return url
