"""What a release asks of its server and of whoever navigates in it: ``contract.json`` (docs/ota.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from orchestrator.domain.declaration import Declaration
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import check_path


def _screen(path: str) -> str:
    """A screen is a URL that names no file: without a dot in its last segment a reload finds the entry document."""
    try:
        check_path(path)
    except ReleaseError as error:
        raise ValueError(error.problem.what) from error
    if "." in path.rsplit("/", 1)[-1]:
        raise ValueError("a screen's last segment has no dot: with one it is asked for as a file")
    return path


def _file(path: str) -> str:
    try:
        check_path(path)
    except ReleaseError as error:
        raise ValueError(error.problem.what) from error
    return path


#: A screen's URL path below the mount.
Screen = Annotated[str, AfterValidator(_screen)]
#: The path of a file of the release.
FilePath = Annotated[str, AfterValidator(_file)]
#: A hash, in whatever spelling the build has: it is compared for equality alone.
Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/_=:.-]{1,128}$")]
ActionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./-]{0,127}$")]


class Contract(Declaration):
    """Screens and server actions, each with the hash of its signature.

    `uncached` are the screens that clients ask the server for each time; `home` and `splash` name screens.
    """

    PATH: ClassVar[str] = "contract.json"

    home: str = ""
    splash: str = ""
    screens: Mapping[Screen, Signature] = Field(default_factory=dict, max_length=10_000)
    actions: Mapping[ActionName, Signature] = Field(default_factory=dict, max_length=10_000)
    uncached: tuple[str, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _known_screens(self) -> Self:
        for field, names in (("home", [self.home]), ("splash", [self.splash]), ("uncached", self.uncached)):
            for name in names:
                if name and name not in self.screens:
                    raise ValueError(f"{field} names a screen that is not under screens: {name[:80]!a}")
        return self


#: What a release declares that has no such file: nothing.
NO_CONTRACT = Contract(format=1)
