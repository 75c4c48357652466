"""The web client's files, as they lie in this package."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def client_files() -> dict[str, Traversable]:
    """By name: the library, the service worker, and what the worker imports."""
    return {each.name: each for each in sorted(files(__package__).iterdir(), key=str) if each.name.endswith(".js")}
