"""What a hook in has set off: a delivery or an operation, claimed once. Pure; docs/hooks.md is the manual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Trigger:
    """A row of `triggers`.

    `hook` is who acts, ``hook:NAME``; `name` is what the other side calls it, once for each hook; `request` is what
    it was made of, without secrets. `result` is what was answered, None while that is open, and what was noted where
    somebody has begun; `ended_at` says that nothing more is to be done.
    """

    id: int
    hook: str
    name: str
    request: Mapping[str, Any]
    created_at: datetime
    deployment: int | None = None
    result: Mapping[str, Any] | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be claimed. `detail` is for the trail; with `result` it ends with the claim."""

    hook: str
    name: str
    request: Mapping[str, Any]
    fleet: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
