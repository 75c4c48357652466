"""One device: the files and the version that it holds, and what it makes of a version that it is offered. No I/O."""

from __future__ import annotations

from orchestrator.ota.answers import ServedManifest
from orchestrator.ota.behaviour import Behaviour


class Device:
    """What one device holds: keys (`path?hash`), never the bytes.

    The files of the version held are those that its manifest lists. Besides there is the checkpoint: what upgrades
    that failed had fetched already.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._held: ServedManifest | None = None
        self._checkpoint: set[str] = set()
        self._given_up = False

    @property
    def held(self) -> ServedManifest | None:
        """The version that it runs; None before the first."""
        return self._held

    def start(self) -> None:
        """Somebody opens the app. What had failed may be tried again."""
        self._given_up = False

    def wants(self, token: str, *, forward: bool) -> bool:
        """Whether a version check that gave `token` begins an upgrade; `forward`: its epoch is not an older one."""
        if self._held is not None and self._held.token == token:
            return False
        return not self._given_up and (forward or not self.behaviour.only_forward)

    def takes(self, token: str, manifest: ServedManifest) -> bool:
        """Whether it goes by this manifest, having asked for that of `token`."""
        return manifest.token == token or not self.behaviour.compares_tokens

    def lacks(self, manifest: ServedManifest) -> list[str]:
        """The paths that it must fetch to hold all of `manifest`. A checkpoint of other versions is dropped."""
        self._checkpoint &= {_key(path, ota) for path, ota in manifest.files.items()}
        changed = manifest.changed(self._held)
        return [path for path in changed if _key(path, manifest.files[path]) not in self._checkpoint]

    def keep(self, path: str, ota: str) -> None:
        """A file has come, and is right."""
        self._checkpoint.add(_key(path, ota))

    def switch(self, manifest: ServedManifest) -> None:
        """Run this version from now on, all of it: adopted like the bundle of an installed build, or fetched."""
        self._held = manifest
        self._checkpoint.clear()

    def fail(self) -> None:
        """An upgrade failed. It goes on with the version that it holds, and keeps what it has fetched."""
        self._given_up = self.behaviour.gives_up


def _key(path: str, ota: str) -> str:
    return f"{path}?{ota}"
