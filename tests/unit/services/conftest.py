"""The fixtures of the outbox's tests."""

from __future__ import annotations

from tests.unit.services.post import empty, listener, post

__all__ = ["empty", "listener", "post"]
