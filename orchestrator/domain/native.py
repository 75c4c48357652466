"""What of a release is built into the installed app, and can't change over the air: ``native.json`` (docs/ota.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from orchestrator.domain.contract import FilePath
from orchestrator.domain.declaration import Declaration, Part


class Plugin(Part):
    """A plugin of the native shell: its version, and whatever configures it."""

    version: str
    configuration: JsonValue = None


class EntryModule(Part):
    """The module that the app starts in: what identifies it, and its name."""

    key: str
    name: str


class Native(Declaration):
    """What the native shell is made from. `icon`, `splash` and `resources` name files of the release.

    Two releases whose declarations are equal, and whose named files hold the same bytes, need the same build.
    """

    PATH: ClassVar[str] = "native.json"

    app_name: str | None = None
    icon: FilePath | None = None
    primary_color: str | None = Field(default=None, pattern=r"^#[0-9A-Fa-f]{6}$")
    splash: FilePath | None = None
    plugins: Mapping[str, Plugin] = Field(default_factory=dict, max_length=1_000)
    resources: tuple[FilePath, ...] = Field(default=(), strict=False, max_length=10_000)
    platforms: Mapping[str, JsonValue] = Field(default_factory=dict, max_length=100)
    entry_module: EntryModule | None = None
    extensibility: JsonValue = None

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the release that it names."""
        named = (self.icon, self.splash, *self.resources)
        return tuple(dict.fromkeys(path for path in named if path is not None))


#: What a release declares that has no such file: nothing.
NO_NATIVE = Native(format=1)
