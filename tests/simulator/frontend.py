"""A frontend in memory with rotation, retention and clients: what docs/protocol.md, "On a frontend", says of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from orchestrator.domain.activation import NOTHING, Activation, ActivationName
from tests.protocol.simulation.frontend import ACCEPTED, Answer, SimulatedFrontend, refused


class Frontend(SimulatedFrontend):
    """One frontend. `drain` is the number in `state/drained`, 0 where there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.drain = 0
        #: The number of the last drain that was ended.
        self.readmitted = 0
        #: Nobody reaches it over SSH. Its web server goes on.
        self.cut = False

    # ── commands ──

    def stage(self, activation: Activation) -> Answer:
        """Above the fence; or just what is served, which is put right at its own epoch."""
        if activation.name == self.current != NOTHING:
            self.staged[activation.name] = activation
            self.tampered -= {activation.name}
            return ACCEPTED
        if self._above_fence(activation.name) and activation.name in self.tampered:
            # What lies there and holds something else is replaced.
            self.tampered -= {activation.name}
        return super().stage(activation)

    def hold_whole(self, names: Iterable[ActivationName]) -> Answer:
        """Whether these lie there as they were staged."""
        lacking = [name for name in names if name not in self.staged or name in self.tampered]
        return refused(f"{lacking[0]} is not what was staged") if lacking else ACCEPTED

    def mark_drained(self, name: ActivationName, number: int) -> Answer:
        """`drain`: the mark of the newest drain stays."""
        if name.epoch < self.fence:
            return self._fenced(name)
        if number < self.drain or number <= self.readmitted:
            return refused("a later drain has come, or this one has ended")
        self.drain = number
        return ACCEPTED

    def readmit(self, name: ActivationName, number: int) -> Answer:
        """The mark goes, where this is served and no later drain has come."""
        if self.current != name:
            return refused(f"this frontend serves {self.current}")
        if not self._ends(number):
            return refused(f"this frontend is in drain {self.drain}")
        self.drain, self.readmitted = 0, max(self.readmitted, number)
        return ACCEPTED

    def prune(self, by: ActivationName, names: Iterable[ActivationName]) -> Answer:
        """Remove these, all of them below what is served; nothing where one of them is not."""
        wanted = list(names)
        if not self._may_prune(by, wanted):
            return refused("not below what is served, or fenced")
        for name in wanted:
            self.staged.pop(name, None)
        return ACCEPTED

    def reboot(self) -> None:
        """Whoever waited for a word is gone."""
        self.stand_down()

    # ── clients ──

    @property
    def serves(self) -> bool:
        """Whether its health answer is good."""
        return self.drain == 0 and self.current != NOTHING

    def navigate(self, pin: ActivationName | None) -> ActivationName:
        """What a client with this pin gets for a document."""
        if pin is not None and pin.epoch > self.current.epoch and pin in self.ahead and pin in self.staged:
            return pin
        return self.current

    # ── below ──

    def _ends(self, number: int) -> bool:
        return self.drain <= number

    def _may_prune(self, by: ActivationName, names: Iterable[ActivationName]) -> bool:
        return by.epoch >= self.fence and all(name.epoch < self.current.epoch for name in names)

    @property
    def state(self) -> Hashable:
        """Its whole state, as a value."""
        return (
            self.fence,
            self.current,
            self.armed,
            frozenset(self.staged),
            self.ahead,
            self.tampered,
            self.drain,
            self.readmitted,
            self.cut,
        )
