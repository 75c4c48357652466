from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import pytest

from orchestrator.adapters.sources.tar import HEADER_BYTES, PADDING_BYTES, Forward
from orchestrator.domain.errors import ReleaseError
from tests.unit.releases.archives import BLOCK, pax, sealed
from tests.unit.releases.reading import read, refused
from tests.unit.releases.trees import Tree, manifest_of, member, tar_bytes

TREE: Tree = {"index.html": b"<html>", "js/app.js": b"x" * 5000, "js/empty": b""}


def test_an_archive_without_its_end_marker_is_refused(tmp_path: Path) -> None:
    whole = tar_bytes({"a": b"1" * 600}, form=tarfile.USTAR_FORMAT)
    members = 3 * BLOCK
    assert not whole[members:].strip(b"\0")
    for size in range(0, members + 2 * BLOCK, 64):
        refused(tmp_path, whole[:size], "r.tar")
    assert read(tmp_path, whole[: members + 2 * BLOCK], "r.tar") == manifest_of({"a": b"1" * 600})


def test_a_broken_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"a": b"1", "b": b"2"}, form=tarfile.USTAR_FORMAT))
    data[2 * BLOCK] ^= 1
    assert "can't be read" in refused(tmp_path, bytes(data), "r.tar").problem.what


@pytest.mark.parametrize("rest", [b"x", bytes(BLOCK) + b"x", tar_bytes({"late": b""})])
def test_what_follows_the_end_marker_is_refused(tmp_path: Path, rest: bytes) -> None:
    refused(tmp_path, tar_bytes(TREE) + rest, "r.tar")


def test_zeros_without_end_behind_the_end_marker_are_refused(tmp_path: Path) -> None:
    data = tar_bytes({"a": b"1"})
    assert read(tmp_path, gzip.compress(data + bytes(2**19)), "r.tgz")
    refused(tmp_path, gzip.compress(data + bytes(PADDING_BYTES)), "r.tgz")


def test_a_compressed_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = tar_bytes(TREE, compressed=True)
    for size in range(len(whole)):
        refused(tmp_path, whole[:size], "r.tar.gz")


def test_an_archive_that_ends_within_a_file_names_it(tmp_path: Path) -> None:
    whole = tar_bytes({"a": b"1", "js/app.js": b"2" * 5000}, form=tarfile.USTAR_FORMAT)
    error = refused(tmp_path, whole[: 4 * BLOCK], "r.tar")
    assert (error.problem.where, error.problem.found) == ("js/app.js", "an end 4488 bytes before the file's own")


def test_a_compressed_stream_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(TREE, compressed=True))
    data[10:] = b"\xff" * (len(data) - 10)
    assert "error" in refused(tmp_path, bytes(data), "r.tgz").problem.found


@pytest.mark.parametrize("position", [-1, -5, -8])
def test_a_wrong_checksum_of_a_compressed_archive_is_refused(tmp_path: Path, position: int) -> None:
    data = bytearray(tar_bytes(TREE, compressed=True))
    data[position] ^= 1
    refused(tmp_path, bytes(data), "r.tgz")


def test_bytes_behind_a_compressed_archive_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, tar_bytes(TREE, compressed=True) + b"more", "r.tgz")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (tar_bytes(TREE, compressed=True), "r.tar"),
        (tar_bytes(TREE), "r.tar.gz"),
        (b"", "r.tar"),
        (b"", "r.tgz"),
        (bytes(10240), "r.tar"),
        (b"#!/bin/sh\n" * 100, "r.tar"),
    ],
)
def test_an_archive_of_another_kind_than_its_name_says_is_refused(tmp_path: Path, data: bytes, name: str) -> None:
    refused(tmp_path, data, name)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path: Path, kind: bytes) -> None:
    header = member("pax", kind)
    header.size = 2**40
    data = header.tobuf(tarfile.GNU_FORMAT) + bytes(HEADER_BYTES * 4)
    assert f"more than {HEADER_BYTES} bytes" in refused(tmp_path, data, "r.tar").problem.found


def test_headers_before_one_member_have_a_common_limit(tmp_path: Path) -> None:
    many = pax(b"9 a=bcde\n") * (HEADER_BYTES // BLOCK)
    refused(tmp_path, many + tar_bytes({"a": b"1"}), "r.tar")


@pytest.mark.parametrize("size", [-1, -512, -(2**40)])
def test_a_member_of_negative_size_does_not_lead_backwards(tmp_path: Path, size: int) -> None:
    block = bytearray(member("a").tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"\xff" * 4 + struct.pack(">q", size)
    refused(tmp_path, sealed(block) + tar_bytes({"b": b"1"}), "r.tar")


def size_record(claimed: int) -> bytes:
    record = b"size=%d\n" % claimed
    return b"%d %s" % (len(record) + 3, record)


@pytest.mark.parametrize("claimed", [0, 1, 511, 512, 513, 10**9, -1])
def test_a_global_header_that_gives_every_file_the_same_size_is_refused(tmp_path: Path, claimed: int) -> None:
    data = pax(size_record(claimed), tarfile.XGLTYPE) + tar_bytes({"a": b"1" * 512}, form=tarfile.USTAR_FORMAT)
    refused(tmp_path, data, "r.tar")


@pytest.mark.parametrize("claimed", [0, 10**9, -1])
def test_an_extended_header_that_gives_a_file_an_impossible_size_is_refused(tmp_path: Path, claimed: int) -> None:
    refused(tmp_path, pax(size_record(claimed)) + tar_bytes({"a": b"1" * 512}, form=tarfile.USTAR_FORMAT), "r.tar")


def test_an_extended_header_has_the_last_word_on_a_files_size(tmp_path: Path) -> None:
    data = pax(size_record(511)) + tar_bytes({"a": b"1" * 512, "b": b"2"}, form=tarfile.USTAR_FORMAT)
    assert read(tmp_path, data, "r.tar") == manifest_of({"a": b"1" * 511, "b": b"2"})


@pytest.mark.parametrize("record", [b"10 path=a\n", b"14 linkpath=a\n"])
def test_a_global_header_that_gives_every_file_the_same_name_is_refused(tmp_path: Path, record: bytes) -> None:
    refused(tmp_path, pax(record, tarfile.XGLTYPE) + tar_bytes({"b": b"1"}, form=tarfile.USTAR_FORMAT), "r.tar")


def test_a_global_header_with_a_comment_is_no_harm(tmp_path: Path) -> None:
    data = pax(b"19 comment=deadbee\n", tarfile.XGLTYPE) + tar_bytes(TREE)
    assert read(tmp_path, data, "r.tar") == manifest_of(TREE)


def test_the_stream_under_tarfile_only_moves_forward_and_as_far_as_allowed() -> None:
    stream = Forward(io.BytesIO(bytes(range(100))), "here")
    stream.allow(30)
    assert stream.read(10) == bytes(range(10))
    assert stream.seek(20) == stream.tell() == 20
    assert stream.seek(20) == 20
    for size in (-1, None, 11):
        with pytest.raises(ReleaseError):
            stream.read(size)
    with pytest.raises(ReleaseError):
        stream.seek(19)
    with pytest.raises(io.UnsupportedOperation):
        stream.seek(0, io.SEEK_END)
    assert stream.read(10) == bytes(range(20, 30))
    with pytest.raises(ReleaseError):
        stream.seek(31)
    stream.allow(1000)
    assert stream.read(1000) == stream.block == bytes(range(30, 100))
