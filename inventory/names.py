"""The names an inventory may use. They become path segments, URL segments and SSH words, so they are narrow."""

from __future__ import annotations

import re

#: An environment, a fleet or a frontend.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: A fleet by its full name: its environment's, and its own.
FLEET = re.compile(rf"{NAME.pattern}/{NAME.pattern}")
#: An app. OutSystems module names fit.
APP = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
#: Where an app is mounted: ``/`` or one segment between slashes.
MOUNT = re.compile(r"/(?:[A-Za-z0-9][A-Za-z0-9._-]{0,62}/)?")


def is_name(text: str) -> bool:
    """Whether `text` can name an environment, a fleet or a frontend."""
    return NAME.fullmatch(text) is not None


def is_app(text: str) -> bool:
    """Whether `text` can name an app."""
    return APP.fullmatch(text) is not None


def is_mount(text: str) -> bool:
    """Whether `text` is a mount path: ``/`` or ``/Segment/``."""
    return MOUNT.fullmatch(text) is not None
