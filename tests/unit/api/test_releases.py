"""Uploading releases, and reading them back."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.api.service import Client, Here, archive, items

FILES = {"index.html": b"<p>one</p>", "a/b.js": b"let b"}


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path, upload_bytes=100_000)


@pytest.fixture
def client(here: Here) -> Client:
    return here.client()


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path, content in FILES.items():
            file.writestr(path, content)
    return packed.getvalue()


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def left(here: Here) -> list[str]:
    folder = here.settings.home / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("body", "query", "content_type"),
    [
        (archive(FILES), "", "application/gzip"),
        (archive(FILES), "", "Application/X-GZip; x=1"),
        (archive(FILES), "?format=tgz", "application/x-www-form-urlencoded"),
        (archive(FILES), "?format=tar.gz", ""),
        (archive(FILES, "w:"), "?format=tar", ""),
        (archive(FILES, "w:"), "", "application/x-tar"),
        (zipped(), "", "application/zip"),
        (zipped(), "?format=zip", "application/gzip"),
    ],
)
def test_an_archive_of_each_kind_becomes_the_same_release(
    client: Client, here: Here, body: bytes, query: str, content_type: str
) -> None:
    headers = {"Content-Digest": f"sha-512=:AA==:, {digest(body)}", "Content-Type": content_type}
    made = client.post(f"/api/v1/releases/ToDo/1.0.0{query}", content=body, headers=headers)
    assert made.status_code == 201, made.text
    assert made.json()["new"] is True
    assert made.headers["location"] == "/api/v1/releases/ToDo/1.0.0"
    shown = client.get(made.headers["location"])
    assert {file["path"]: file["size"] for file in shown.json()["manifest"]} == {"index.html": 10, "a/b.js": 5}
    assert shown.headers["etag"] == f'"{made.json()["digest"]}"'
    assert left(here) == []


def test_the_same_content_again_is_no_change_and_other_content_is_refused(client: Client) -> None:
    url = "/api/v1/releases/ToDo/1.0.0?format=tgz"
    assert client.post(url, content=archive(FILES)).status_code == 201
    again = client.post(url, content=archive(FILES))
    assert (again.status_code, again.json()["new"]) == (200, False)
    other = client.post(url, content=archive({"index.html": b"two"}))
    assert (other.status_code, other.json()["type"]) == (409, "urn:lockstep:problem:conflict")


@pytest.mark.parametrize(
    ("body", "query", "headers", "status", "word"),
    [
        (archive(FILES), "", {"Content-Type": "text/plain"}, 422, "kind of archive"),
        (archive(FILES), "?format=rar", {}, 422, "format"),
        (archive(FILES), "?format=tgz", {"Content-Digest": digest(b"other")}, 422, "Content-Digest"),
        (archive(FILES), "?format=tgz", {"Content-Digest": "md5=:AA==:"}, 422, "Content-Digest"),
        (archive(FILES), "?format=tgz", {"Content-Digest": "sha-256=:AA==:"}, 422, "Content-Digest"),
        (b"", "?format=tgz", {}, 422, "release"),
        (b"no archive", "?format=zip", {}, 422, "release"),
        (archive(FILES), "?format=zip", {}, 422, "release"),
        (archive({"../up": b"x"}), "?format=tgz", {}, 422, "release"),
        (b"x" * 100_001, "?format=tar", {}, 413, "too large"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    client: Client, here: Here, body: bytes, query: str, headers: dict[str, str], status: int, word: str
) -> None:
    refused = client.post(f"/api/v1/releases/ToDo/1.0.0{query}", content=body, headers=headers)
    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert word in refused.text
    assert left(here) == []
    assert here.ledger.releases() == []


def test_a_body_without_a_length_is_counted_as_it_comes(client: Client, here: Here) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    refused = client.post("/api/v1/releases/ToDo/1.0.0?format=tar", content=body())
    assert refused.status_code == 413, refused.text
    assert left(here) == []


@pytest.mark.parametrize("path", ["To%20Do/1.0.0", "ToDo/..%2e", "ToDo/a%0a", "1ToDo/1", "ToDo/" + "1" * 65])
def test_names_that_can_be_none_are_refused(client: Client, here: Here, path: str) -> None:
    refused = client.post(f"/api/v1/releases/{path}?format=tgz", content=archive(FILES))
    assert refused.status_code == 422
    assert here.ledger.releases() == []


def test_what_a_process_that_died_left_goes_with_the_next_upload(client: Client, here: Here) -> None:
    folder = here.settings.home / "uploads"
    folder.mkdir()
    for name, hours in (("old.tar", 25), ("fresh.tar", 23)):
        (folder / name).write_bytes(b"x")
        when = time.time() - hours * 3600
        os.utime(folder / name, (when, when))
    assert client.post("/api/v1/releases/ToDo/1.0.0?format=tgz", content=archive(FILES)).status_code == 201
    assert left(here) == ["fresh.tar"]


def test_a_disk_that_takes_nothing_is_told(client: Client, here: Here) -> None:
    (here.settings.home / "uploads").write_text("no directory")
    failed = client.post("/api/v1/releases/ToDo/1.0.0?format=tgz", content=archive(FILES))
    assert (failed.status_code, failed.json()["type"]) == (500, "urn:lockstep:problem:failed")
    assert failed.json()["detail"] == "the upload can't be kept"


def test_pages_go_on_where_they_ended_whatever_is_added(client: Client, here: Here) -> None:
    for number in range(5):
        here.build(f"{number}.0.0")
    first = client.get("/api/v1/releases?limit=2").json()
    here.build("9.0.0")
    second = client.get("/api/v1/releases", params={"limit": 2, "cursor": first["next"]}).json()
    third = client.get("/api/v1/releases", params={"limit": 2, "cursor": second["next"]}).json()
    pages = [[item["version"][0] for item in page["items"]] for page in (first, second, third)]
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    assert third["next"] is None


def test_only_what_has_changed_is_sent_again(client: Client, here: Here) -> None:
    here.build("1.0.0")
    etag = client.get("/api/v1/releases/ToDo/1.0.0").headers["etag"]
    for known in (etag, f'"x", W/{etag}', "*"):
        same = client.get("/api/v1/releases/ToDo/1.0.0", headers={"If-None-Match": known})
        assert (same.status_code, same.content) == (304, b"")
    assert client.get("/api/v1/releases/ToDo/1.0.0", headers={"If-None-Match": '"x"'}).status_code == 200


def test_compare_says_what_the_command_says(client: Client, here: Here) -> None:
    here.build("1.0.0")
    here.build("2.0.0")
    found = client.get("/api/v1/releases/ToDo/compare?from=1.0.0&to=2.0.0").json()
    assert (found["app"], found["from"], found["to"], found["kind"]) == ("ToDo", "1.0.0", "2.0.0", "seamless")
    assert client.get("/api/v1/releases/ToDo/compare?from=1.0.0&to=3.0.0").status_code == 404
    assert [each["version"] for each in items(client.get("/api/v1/releases?app=ToDo"))] == ["2.0.0", "1.0.0"]
    assert client.get("/api/v1/releases?app=Portal").json() == {"items": [], "next": None}
