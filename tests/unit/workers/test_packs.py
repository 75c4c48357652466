"""Packs: what a frontend is sent holds exactly what it must, and is built once for many."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from orchestrator.domain.layout import Layout, Tree
from workers.distribution.packs import PackShelf, chunks, link_pack, object_time

CONTENTS = [b"", b"one", b"two" * 1000, bytes(range(256)) * 4096]
OBJECTS = {hashlib.sha256(content).hexdigest(): content for content in CONTENTS}


def open_object(sha: str) -> BinaryIO:
    return io.BytesIO(OBJECTS[sha])


def members(pack: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(pack), mode="r:gz") as tar:
        return tar.getmembers()


def test_a_pack_of_objects_holds_them_by_hash_with_the_time_of_their_hash(tmp_path: Path) -> None:
    with PackShelf(tmp_path).pack(list(OBJECTS), open_object) as pack:
        sent = b"".join(chunks(pack.source))
    with tarfile.open(fileobj=io.BytesIO(sent), mode="r:*") as tar:
        found = {}
        for member in tar:
            source = tar.extractfile(member)
            assert source is not None
            found[member.name] = source.read()
            assert member.isreg()
            assert member.mtime == object_time(member.name) == int(member.name[:8], 16) // 4
            assert member.mode == 0o444
    assert found == OBJECTS


def test_an_object_s_time_is_before_2004_so_that_no_answer_comes_from_the_future() -> None:
    assert object_time("f" * 64) < 1_073_741_824
    assert object_time("0" * 64) == 0


def test_the_same_pack_is_built_once_for_frontends_that_ask_side_by_side(tmp_path: Path) -> None:
    opened: list[str] = []
    lock = threading.Lock()

    def counted(sha: str) -> BinaryIO:
        with lock:
            opened.append(sha)
        return open_object(sha)

    shelf = PackShelf(tmp_path)

    def take(order: int) -> bytes:
        wanted = sorted(OBJECTS, reverse=bool(order % 2))
        with shelf.pack(wanted, counted) as pack:
            return pack.source.read()

    with ThreadPoolExecutor(8) as threads:
        packs = set(threads.map(take, range(8)))
    assert len(packs) == 1
    # Once to see whether they compress, and once to take them in.
    assert sorted(opened) == sorted([*OBJECTS, *OBJECTS])


def test_a_pack_that_could_not_be_built_leaves_nothing_behind(tmp_path: Path) -> None:
    def missing(sha: str) -> BinaryIO:
        raise FileNotFoundError(sha)

    with pytest.raises(FileNotFoundError), PackShelf(tmp_path).pack(list(OBJECTS), missing):
        pass
    assert list(tmp_path.iterdir()) == []


def test_packs_that_nobody_asks_for_are_swept_when_another_is_built(tmp_path: Path) -> None:
    shelf = PackShelf(tmp_path)
    first, *rest = OBJECTS
    with shelf.pack([first], open_object):
        pass
    (old,) = tmp_path.iterdir()
    os.utime(old, (0, 0))
    with shelf.pack(rest, open_object):
        pass
    assert old not in set(tmp_path.iterdir())


LAYOUT = Layout(
    Tree(
        "activations/3-0123456789abcdef", {"-/activation.json": "a" * 64}, {"ToDo": f"../../releases/ToDo/{'b' * 64}"}
    ),
    (Tree(f"releases/ToDo/{'b' * 64}", {"index.html": "c" * 64, "p/ü +%.js": "d" * 64}, {}),),
    {"x" * 22: "c" * 64},
    {"a" * 64: b"{}"},
)


def test_a_pack_of_links_builds_the_layout() -> None:
    found = {(m.type, m.name, m.linkname) for m in members(link_pack(LAYOUT))}
    assert found == {
        (tarfile.LNKTYPE, "tree/activation/-/activation.json", f"objects/{'a' * 64}"),
        (tarfile.SYMTYPE, "tree/activation/ToDo", f"../../releases/ToDo/{'b' * 64}"),
        (tarfile.LNKTYPE, f"tree/releases/ToDo/{'b' * 64}/index.html", f"objects/{'c' * 64}"),
        (tarfile.LNKTYPE, f"tree/releases/ToDo/{'b' * 64}/p/ü +%.js", f"objects/{'d' * 64}"),
        (tarfile.LNKTYPE, f"tree/by-hash/{'x' * 22}", f"objects/{'c' * 64}"),
    }
