"""What all targets have in common that run the real script."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.fuzz.ground import PRELOADED, Ground
from tests.fuzz.target import Target
from tests.remote.frontend import check_tree, remove

_NAMES = ("dash", "busybox", "attendant")
#: Under what the script runs: each twelfth time in a process of its own, as a frontend starts it.
SHELLS = (*_NAMES, *(f"{PRELOADED}{shell}" for shell in _NAMES for _ in range(11)))

T = TypeVar("T")


class Scripts(Target[T]):
    """The script on a ground of its own. Its tree starts at epoch 4, with 3 and 5 staged."""

    ground: Ground

    def __enter__(self) -> Self:
        self.ground = Ground().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ground.__exit__(kind, error, trace)

    def reset(self) -> None:
        """A root as it comes from `make`, and what is beside it as it was."""
        if self.ground.root.exists():
            remove(self.ground.root)
        self.ground.restore_around()
        self.make_root()

    def make_root(self) -> None:
        """The root, which is not there."""
        self.ground.frontend.make()
        self.restore()

    def restore(self) -> None:
        """The root after a command that changed it."""
        self.ground.frontend.place(fence=4, current=4, staged={3, 5})

    def settle(self) -> None:
        """Nothing outside the root was changed, and everything inside has its form."""
        self.ground.check_around()
        check_tree(self.ground.root)
        assert not list((self.ground.root / "incoming").iterdir())

    def standing(self) -> object:
        """All of the tree that a rule speaks of."""
        state = self.ground.root / "state"
        return self.ground.frontend.standing(), _text(state / "drained"), _text(state / "readmitted")


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
