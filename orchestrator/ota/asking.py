"""How clients without I/O ask: a step yields what to ask at once, and is sent what came back, in the same order."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.target import Ask

T = TypeVar("T")
Got = Answer | NoAnswer
#: A part of a round: it asks, is sent what came back, and returns what it made of it.
Asking = Generator[tuple[Ask, ...], tuple[Got, ...], T]
