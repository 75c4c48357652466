"""What a frontend sends of its site, held against what it listed before: nothing else gets into a release."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping

import pytest

from orchestrator.adapters.sources.archive import STEP
from orchestrator.adapters.sources.tar import stream_entries
from orchestrator.domain.adoption.site import Held, Site
from orchestrator.domain.errors import RefusedError
from orchestrator.domain.release import Manifest
from tests.unit.releases.trees import gather
from workers.frontend.adopting import checked

#: As much as is read at once: what follows comes in a piece of its own.
LARGE = b"x" * STEP
FILES = {
    "large": LARGE,
    "index.html": b"hello",
    "sub/app.js": b"let it = 1",
    "sub/copy.js": b"let it = 1",
    "empty": b"",
}
LISTED = {path: Held(len(content), hashlib.sha256(content).hexdigest()) for path, content in FILES.items()}


def member(path: str, content: bytes = b"", **settings: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(f"./{path}")
    info.size = len(content)
    for name, value in settings.items():
        setattr(info, name, value)
    return info, content


def packed(members: Mapping[str, tuple[tarfile.TarInfo, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for info, content in members.values():
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def taken(**changed: tuple[tarfile.TarInfo, bytes] | None) -> Manifest:
    """The manifest of what comes where some members are others than those that were listed."""
    members = {path: member(path, content) for path, content in FILES.items()}
    for path, made in changed.items():
        members.pop(path, None)
        if made is not None:
            members[path] = made
    return gather(checked(stream_entries(io.BytesIO(packed(members)), "tar"), LISTED))


def test_what_was_listed_is_taken() -> None:
    assert Site.of(taken()).files == LISTED


def test_a_second_name_of_a_file_comes_as_a_link_and_is_taken() -> None:
    link = member("sub/copy.js", type=tarfile.LNKTYPE, linkname="./sub/app.js")
    assert Site.of(taken(**{"sub/copy.js": link})).files == LISTED


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"index.html": member("index.html", b"hellO")},
        lambda: {"index.html": member("index.html", b"hell")},
        lambda: {"index.html": member("index.html", b"hello!")},
        lambda: {"index.html": None},
        lambda: {"more": member("more", b"x")},
        lambda: {"twice": member("index.html", b"hello")},
        lambda: {"index.html": member("index.html", type=tarfile.SYMTYPE, linkname="/etc/passwd")},
        lambda: {"index.html": member("index.html", type=tarfile.LNKTYPE, linkname="./sub/app.js")},
        lambda: {"index.html": member("index.html", type=tarfile.LNKTYPE, linkname="/etc/passwd")},
        lambda: {"sub/copy.js": member("sub/copy.js", type=tarfile.SYMTYPE, linkname="sub/app.js")},
        lambda: {"large": member("large", LARGE + b"!")},
        lambda: {"empty": member("empty", type=tarfile.DIRTYPE)},
    ],
    ids=[
        "bytes",
        "shorter",
        "longer",
        "missing",
        "more",
        "twice",
        "link",
        "other content",
        "leads out",
        "same content",
        "one more",
        "directory",
    ],
)
def test_anything_else_is_refused(make: Callable[[], dict[str, tuple[tarfile.TarInfo, bytes] | None]]) -> None:
    with pytest.raises(RefusedError, match="changed while it was fetched"):
        taken(**make())
