"""Packs for `receive` and `assemble`: good ones, and members of any kind for hostile ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.domain.layout import Tree
from orchestrator.domain.release import ota_hash


def sha256(content: bytes) -> str:
    """The name of an object."""
    return hashlib.sha256(content).hexdigest()


def object_time(name: str) -> int:
    """The time of an object in seconds: docs/protocol.md, "ETags"."""
    return int(name[:8], 16) >> 2


def activation_name(epoch: int) -> str:
    """Always the same for an epoch; 0 is what a frontend starts from."""
    return f"{epoch}-{sha256(str(epoch).encode())[:16] if epoch else '0' * 16}"


@dataclass(frozen=True)
class Member:
    """One member of a pack."""

    name: str
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    content: bytes = b""
    mode: int = 0o444
    time: float = 0
    owner: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def info(self) -> tarfile.TarInfo:
        """As tarfile wants it."""
        info = tarfile.TarInfo(self.name)
        info.type, info.linkname, info.mode, info.mtime = self.kind, self.target, self.mode, self.time
        info.uname, info.pax_headers, info.size = self.owner, dict(self.headers), len(self.content)
        return info


def tar(members: Iterable[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of these members, in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as archive:
        for member in members:
            archive.addfile(member.info, io.BytesIO(member.content))
    return buffer.getvalue()


def pack(*members: Member, form: int = tarfile.GNU_FORMAT) -> bytes:
    """A gzip tar."""
    return gzip.compress(tar(members, form), 1)


def content_member(content: bytes) -> Member:
    """A good member for `receive`."""
    return Member(sha256(content), content=content, time=object_time(sha256(content)))


def objects_pack(*contents: bytes) -> bytes:
    """A good pack for `receive`."""
    return pack(*map(content_member, contents))


def hard_link(path: str, name: str) -> Member:
    """A link to an object."""
    return Member(path, tarfile.LNKTYPE, f"objects/{name}")


def symlink(path: str, target: str) -> Member:
    """A symbolic link."""
    return Member(path, tarfile.SYMTYPE, target)


FILES: Mapping[str, bytes] = {
    "index.html": b"<!doctype html>\n",
    "scripts/app.js": b"start()\n",
    "empty": b"",
    "images/caf\u00e9 'au' lait/$HOME `id` *.svg": b"<svg/>\n",
    "images/again.svg": b"<svg/>\n",
}


@dataclass(frozen=True)
class Stage:
    """What one deployment brings to a frontend: one release of the app ToDo, and the activation that shows it."""

    epoch: int
    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)

    @cached_property
    def activation(self) -> str:
        """Its name."""
        return activation_name(self.epoch)

    @cached_property
    def release(self) -> str:
        """``<app>/<digest>``, the digest of another document than a real one's."""
        return f"ToDo/{sha256(repr(sorted(self.files.items())).encode())}"

    @cached_property
    def document(self) -> bytes:
        """The activation's own file."""
        return f'{{"activation":"{self.activation}"}}'.encode()

    @cached_property
    def contents(self) -> tuple[bytes, ...]:
        """Every object once."""
        return tuple(sorted({*self.files.values(), self.document}))

    @property
    def object_lines(self) -> bytes:
        """Their SHA-256, a line each."""
        return "".join(f"{sha256(content)}\n" for content in self.contents).encode()

    @cached_property
    def by_hash(self) -> dict[str, str]:
        """OTA hash -> object."""
        hashes = {c: ota_hash(hashlib.md5(c, usedforsecurity=False).digest()) for c in self.files.values()}
        return {hashes[content]: sha256(content) for content in self.files.values()}

    @cached_property
    def trees(self) -> tuple[Tree, Tree]:
        """The activation's tree and the release's."""
        files = {path: sha256(content) for path, content in self.files.items()}
        links = {"ToDo": f"../../releases/{self.release}"}
        return (
            Tree(f"activations/{self.activation}", {"-/activation.json": sha256(self.document)}, links),
            Tree(f"releases/{self.release}", files, {}),
        )

    def objects_pack(self) -> bytes:
        """For `receive`."""
        return objects_pack(*self.contents)

    def members(self) -> list[Member]:
        """For `assemble`."""
        activation, release = self.trees
        members = [hard_link(f"tree/activation/{path}", name) for path, name in activation.files.items()]
        members += [symlink(f"tree/activation/{path}", target) for path, target in activation.links.items()]
        members += [hard_link(f"tree/{release.path}/{path}", name) for path, name in release.files.items()]
        return members + [hard_link(f"tree/by-hash/{key}", name) for key, name in self.by_hash.items()]

    def links_pack(self) -> bytes:
        """For `assemble`."""
        return pack(*self.members())
