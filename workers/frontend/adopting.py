"""Looking at the site of a frontend that is adopted, and fetching it. Nothing is written there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from orchestrator.adapters.sources.archive import tree_path
from orchestrator.adapters.sources.tar import stream_entries
from orchestrator.domain.adoption.site import Held, Site, Where
from orchestrator.domain.adoption.walk import Walk
from orchestrator.domain.contents import Entry, Link, Plain
from orchestrator.domain.errors import RefusedError, ReleaseError, UnansweredError
from orchestrator.domain.paths import show
from workers.frontend.answers import printable
from workers.frontend.conversation import Conversation
from workers.frontend.site import FetchSite, ListSite, names
from workers.frontend.transport import Session


def survey(session: Session, where: Where, seconds: float) -> Site:
    """The site as it is now.

    Raises:
        RefusedError: There is no such directory, or it changed meanwhile.
        ReleaseError: It is too much for one release.
        UnansweredError: No answer in time, or none that can be understood.
    """
    walk = Walk(where)
    end = time.monotonic() + seconds
    while walk.branches:
        branch = walk.branches[0]
        command = ListSite(branch.directory, where.excludes if not branch.prefix else where.names)
        walk.add(branch, session.ask(command, limit=max(0.0, end - time.monotonic())))
    return walk.site()


def fetch(session: Session, site: Site, seconds: float) -> Generator[Entry, None, None]:
    """The site's files as a release takes them in: those that were listed, each with the bytes that it had then.

    Raises, while it is read:
        RefusedError: A file is not what was listed any more, or the frontend sends something else.
        ReleaseError: What comes is no sound tar.
        UnansweredError: It does not come in time.
    """
    talk = session.converse(FetchSite(site.top).argv(), limit=seconds)
    # Names and files go at the same time: tar sends the first files before it has read the last names.
    with ThreadPoolExecutor(1, thread_name_prefix="adopt") as feeder:
        try:
            fed = feeder.submit(talk.feed, names(site.files))
            yield from checked(stream_entries(talk, f"the tar of {session.frontend.name}"), site.files)
            fed.result()
            _check_end(talk)
        except ReleaseError:
            # Where tar could not begin, it says why itself.
            _check_end(talk)
            raise
        finally:
            # Ends the feeding as well, which the pool waits for.
            talk.close()


def checked(entries: Iterator[Entry], wanted: Mapping[str, Held]) -> Iterator[Entry]:
    """The entries, each held against what was listed; `RefusedError` for whatever else comes, or does not come."""
    missing = set(wanted)
    for entry in entries:
        held = wanted.get(entry.path)
        if held is None or entry.path not in missing:
            raise _changed(entry.path, "a file that was listed", "another entry")
        missing.discard(entry.path)
        if isinstance(entry, Plain):
            yield Plain(entry.path, _checked_chunks(entry, held))
        elif isinstance(entry, Link) and entry.hard and wanted.get(tree_path(entry.target)) == held:
            # tar sends a file that has two names once, and the second name as a link to the first.
            yield entry
        else:
            raise _changed(entry.path, "a file", "something else")
    if missing:
        raise _changed(min(missing), "a file that was listed", "nothing")


def _checked_chunks(entry: Plain, held: Held) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), held.size
    for chunk in entry.chunks:
        left -= len(chunk)
        if left < 0:
            break
        digest.update(chunk)
        yield chunk
    if left or digest.hexdigest() != held.sha256:
        raise _changed(entry.path, f"{held.size} bytes of SHA-256 {held.sha256}", "other bytes")


def _check_end(talk: Conversation) -> None:
    """The last word of tar, on whether it could read all that it was told to."""
    _, status = talk.finish()
    if status != 0:
        raise UnansweredError(
            "tar did not end well on the frontend",
            expected="exit status 0",
            found=f"{'unknown' if status is None else status}, {printable(talk.stderr.decode('utf-8', 'replace'))}",
            remedy="see that its tar takes names from standard input (-T -), as GNU's does",
        )


def _changed(path: str, expected: str, found: str) -> RefusedError:
    return RefusedError(
        "the site changed while it was fetched",
        where=show(path),
        expected=expected,
        found=found,
        remedy="see that nobody deploys the old way meanwhile, then take it again",
    )
