"""A release as it describes itself: its files, and what it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.domain.contract import NO_CONTRACT, Contract
from orchestrator.domain.declaration import Declaration
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.native import NO_NATIVE, Native
from orchestrator.domain.paths import show
from orchestrator.domain.release import File, Manifest

#: The paths of declarations.
DECLARATIONS = frozenset({Contract.PATH, Native.PATH})

D = TypeVar("D", bound=Declaration)


@dataclass(frozen=True, slots=True)
class Described:
    """A manifest, and the declarations among its files."""

    manifest: Manifest
    contract: Contract = NO_CONTRACT
    native: Native = NO_NATIVE

    @classmethod
    def of(cls, manifest: Manifest, read: Callable[[File], bytes]) -> Described:
        """The release with this manifest; `read` gives the bytes of one of its files.

        Raises:
            ReleaseError: A declaration can't be read, or names a file that the release does not have.
        """

        def declared(kind: type[D], nothing: D) -> D:
            file = manifest.by_path.get(kind.PATH)
            return nothing if file is None else kind.parse(read(file))

        native = declared(Native, NO_NATIVE)
        _check_files(manifest, native)
        return cls(manifest, declared(Contract, NO_CONTRACT), native)


def _check_files(manifest: Manifest, native: Native) -> None:
    for path in native.files:
        if path not in manifest.by_path:
            raise ReleaseError(
                f"{native.PATH} names a file that the release does not have",
                where=native.PATH,
                expected="the path of a file of the release, from its top",
                found=show(path),
                remedy="correct the path, or add the file",
            )
