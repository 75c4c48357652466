"""The errors that an operator may see. Each says what was expected, what was found, where, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in the words that an operator needs. Empty fields are left out when shown."""

    what: str
    where: str = ""
    expected: str = ""
    found: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        for label, text in (("expected", self.expected), ("found", self.found), ("what to do", self.remedy)):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str]:
        """The problem as JSON carries it."""
        return {
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "remedy": self.remedy,
        }


class LockstepError(Exception):
    """The root of every error that Lockstep raises on purpose. Carries a `Problem`."""

    def __init__(self, what: str, *, where: str = "", expected: str = "", found: str = "", remedy: str = "") -> None:
        self.problem = Problem(what, where, expected, found, remedy)
        super().__init__(what)

    def __str__(self) -> str:
        return str(self.problem)


class UsageError(LockstepError):
    """What was asked can't be understood, or names something that does not exist. Nothing was changed."""


class ReleaseError(LockstepError):
    """A tree, an archive or a manifest that can't be a release."""


class ConflictError(LockstepError):
    """Somebody else holds what was asked for, or it exists with other content."""


class HeldError(ConflictError):
    """An open deployment holds the fleet. `holder` says which: its number, its state, by whom and since when."""

    def __init__(
        self,
        what: str,
        holder: Mapping[str, Any] = MappingProxyType({}),
        *,
        expected: str = "",
        found: str = "",
        remedy: str = "",
    ) -> None:
        # Without a holder only on its way from one process to another: the attributes follow.
        self.holder = dict(holder)
        super().__init__(what, expected=expected, found=found, remedy=remedy)


class RefusedError(LockstepError):
    """The other side understood and said no. It changed nothing."""


class UnansweredError(LockstepError):
    """No answer, or one that can't be understood: the outcome is unknown. Neither a success nor a refusal."""


class UnauthenticatedError(LockstepError):
    """Nobody knows who asks: no token, or none that is valid. Nothing was changed."""


class ForbiddenError(LockstepError):
    """Whoever asks is known and may not do this. Nothing was changed."""
