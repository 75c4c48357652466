"""Threads of simulated processes: real code, that stops before each thing that it does to the world.

An actor is a greenlet. It runs only while it is resumed, alone, until it stops again by itself: so a run is nothing but
the order in which actors were resumed, and the same order gives the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet


def always() -> bool:
    """Ready at any time."""
    return True


class Actor:
    """One thread. `does` is what it does when it is resumed, `ready` whether it can be."""

    def __init__(self, name: str, process: Process, act: Callable[[], object]) -> None:
        self.name = name
        self.process = process
        self.does = "start"
        self.ready: Callable[[], bool] = always
        self.over = False
        #: Everything that it has learned so far: two actors that learned the same are in the same state.
        self.learned = hash(name) if process.remembers else 0
        self._act = act
        self._said: Any = None
        self._greenlet = greenlet(self._run)

    def resume(self, said: object = None) -> None:
        """Let it run until it stops again. `said` is what `pause` returns there; an error is raised there."""
        self._said = said
        self._greenlet.parent = getcurrent()
        self._greenlet.switch()

    def pause(self, does: str, ready: Callable[[], bool] = always) -> Any:
        """Stop before this is done, until the scheduler wants it to be done. Called by the actor itself."""
        if not self.process.alive:
            raise GreenletExit
        self.does, self.ready = does, ready
        self._greenlet.parent.switch()
        said, self._said = self._said, None
        if isinstance(said, Exception):
            self.learns(type(said).__name__)
            raise said
        self.learns(does)
        return said

    def learns(self, what: Hashable) -> None:
        """From now on it knows this."""
        if self.process.remembers:
            self.learned = hash((self.learned, what))

    def end(self) -> None:
        """Its process is gone. What it still does on its way out reaches nobody."""
        self._greenlet.parent = getcurrent()
        self._greenlet.throw()

    def _run(self) -> None:
        try:
            self._act()
        finally:
            self.over = True


class Process:
    """An operating system's process: its threads end together. Nothing that they do after that has an effect.

    `remembers` has its threads keep what they learn, for whoever compares states.
    """

    def __init__(self, name: str, *, remembers: bool = False) -> None:
        self.name = name
        self.remembers = remembers
        self.alive = True
        #: It is stopped until then.
        self.sleeps_until = 0.0
        self.actors: list[Actor] = []

    def begin(self, name: str, act: Callable[[], object]) -> Actor:
        """A new thread."""
        actor = Actor(f"{self.name}: {name}", self, act)
        self.actors.append(actor)
        return actor

    def kill(self) -> None:
        """SIGKILL."""
        self.alive = False
        actors, self.actors = self.actors, []
        for actor in actors:
            if not actor.over:
                actor.end()

    @property
    def idle(self) -> bool:
        """Whether it has no thread left."""
        return not self.actors

    def forget_ended(self) -> None:
        """Drop threads that have ended."""
        self.actors = [actor for actor in self.actors if not actor.over]


class Running:
    """Who runs now: the ports ask it on whose behalf they are called."""

    def __init__(self) -> None:
        self.actor: Actor | None = None

    @property
    def now(self) -> Actor:
        """The actor that runs. Nobody does who is on its way out of a process that was killed."""
        if self.actor is None:
            raise GreenletExit
        return self.actor
