"""A frontend's state as an audit compares it, from what its script says of itself."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from deploy.nginx.recipe import render_again
from orchestrator.domain.audit.observation import State
from workers.frontend.answers import ScriptRefusedError
from workers.frontend.commands import Probe
from workers.frontend.survey import Survey, Surveyed
from workers.frontend.transport import SHORT_SECONDS, Session


@dataclass(frozen=True, slots=True)
class Told:
    """The state; the SHA-256 of the recipe, "" where there is none below the root, and the one that it should be.

    `marked`: the audit's mark lies below the root.
    """

    state: State
    recipe: str
    recipe_wanted: str
    marked: bool


def told(session: Session, mark: str, seconds: float) -> Told:
    """Ask, and leave the mark. Raises `LockstepError` where the script does not answer, or can't be understood."""
    began = time.time()
    root = session.frontend.root
    said = _surveyed(session, root, mark, min(seconds, SHORT_SECONDS))
    ended = time.time()
    state = State(
        script=said.script,
        current=said.current,
        fence=said.fence,
        drained=said.drained,
        free=said.free,
        offset=round(said.clock - (began + ended) / 2, 6) if said.clock else None,
        uncertainty=round((ended - began) / 2, 6),
        activations=said.activations,
        releases=said.releases,
        ahead=said.ahead,
    )
    return Told(state, said.recipe, recipe_of(said.options, root), said.marked)


def _surveyed(session: Session, root: str, mark: str, limit: float) -> Surveyed:
    """From a script that is older than surveys, what it tells whoever probes."""
    try:
        return session.ask(Survey(root, mark), limit=limit)
    except ScriptRefusedError as error:
        if error.code != "words":
            raise
    said = session.ask(Probe(root), limit=limit)
    return Surveyed(
        script=said.script,
        fence=said.fence,
        current=str(said.current),
        drained=said.drained,
        drain=said.drain,
        free=said.free,
        clock=said.clock,
        marked=False,
        recipe="",
        options="",
        activations=said.activations,
        releases=said.releases,
        ahead=said.ahead,
    )


def recipe_of(options: str, root: str) -> str:
    """The SHA-256 of the recipe that this Lockstep makes of `options`, which a frontend told; "" of what are none."""
    try:
        return hashlib.sha256(render_again(options, root=root).encode()).hexdigest()
    except ValueError:
        return ""
