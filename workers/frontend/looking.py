"""What lies on a frontend's disk, read and not changed: its state, and the trees that are served there now."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inventory.names import APP
from orchestrator.ota.doctor.look import Errand, Look, Seen
from workers.frontend.answers import ScriptRefusedError
from workers.frontend.commands import Listing, Probe
from workers.frontend.transport import SHORT_SECONDS, Session


def look_at(session: Session, errand: Errand) -> Look:
    """The state, the listing of the activation that is `current`, and that of the app's release in it.

    Raises:
        RefusedError: There is no tree at the root, or the script said no.
        UnansweredError: No answer in time, or none that can be understood: a script of another version, say.
    """
    root = session.frontend.root
    probed = session.ask(Probe(root), limit=min(errand.seconds, SHORT_SECONDS))
    activation = f"activations/{probed.current}"
    listed = _listing(session, activation, errand.seconds)
    release = _release(listed, errand.app)
    trees = {activation: Seen.of(listed, errand, None)}
    if release:
        trees[release] = Seen.of(_listing(session, release, errand.seconds), errand, errand.file)
    return Look(probed.current, probed.drained, release, trees)


def _listing(session: Session, tree: str, limit: float) -> list[str]:
    """Its lines; none where it is not there."""
    try:
        return session.ask(Listing(session.frontend.root, tree), limit=limit)
    except ScriptRefusedError as error:
        if error.code != "unstaged":
            raise
        return []


def _release(listed: Sequence[str], app: str) -> str:
    """The release of the app to which an activation's links lead, "" where none does."""
    assert APP.fullmatch(app)
    link = re.compile(rf"l \.\./\.\./(releases/{re.escape(app)}/[0-9a-f]{{64}})(?:/\S*)? .+", re.DOTALL)
    return next((found[1] for line in listed if (found := link.fullmatch(line))), "")
