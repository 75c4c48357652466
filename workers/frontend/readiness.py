"""Getting a frontend ready: its script and its tree in place, its state and its clock known."""

from __future__ import annotations

import time
from dataclasses import dataclass

from orchestrator.domain.errors import UnansweredError
from workers.frontend.answers import ScriptRefusedError
from workers.frontend.commands import Init, Probe, Probed
from workers.frontend.script import script_sha256
from workers.frontend.transport import SHORT_SECONDS, Session


@dataclass(frozen=True, slots=True)
class Ready:
    """A frontend's state, and its clock against this machine's: offset and uncertainty in seconds, None if unknown."""

    probed: Probed
    offset: float | None
    uncertainty: float | None


def ready(session: Session, wanted: bytes = b"") -> Ready:
    """Have the script installed, or replaced if its hash differs, and the tree made; returns the state.

    `wanted` are the lines of what the state is to say whether it is there.
    """
    found = probe(session, wanted)
    if found is None or found.probed.script != script_sha256():
        session.install()
        session.ask(Init(session.frontend.root), limit=SHORT_SECONDS)
        found = _probe(session, wanted)
    if found.probed.script != script_sha256():
        raise UnansweredError("the frontend's script is not the one that was installed", where=session.frontend.name)
    return found


def probe(session: Session, wanted: bytes = b"") -> Ready | None:
    """The state; None where there is no script, no tree, or one of a version whose answers this one can't read."""
    try:
        return _probe(session, wanted)
    except (ScriptRefusedError, UnansweredError):
        if not session.alive:
            raise
        return None


def _probe(session: Session, wanted: bytes) -> Ready:
    began = time.time()
    probed = session.ask(Probe(session.frontend.root), stdin=[wanted], size=len(wanted), limit=SHORT_SECONDS)
    ended = time.time()
    if not probed.clock:
        return Ready(probed, None, None)
    offset = probed.clock - (began + ended) / 2
    return Ready(probed, round(offset, 6), round((ended - began) / 2, 6))
