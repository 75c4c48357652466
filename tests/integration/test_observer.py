"""The observer against an app on a real nginx, in which everything that it must find is broken in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.ota.fetcher import Limits
from orchestrator.ota.tally import Count, Kind, Tally
from tests.integration.observed_site import Site, activation, observed_site
from tests.integration.observing import only, run

FILES = {
    "index.html": b"<html>one</html>",
    "a b+%.js": b"script one",
    "css/ü.css": b"style one",
    "empty.txt": b"",
}
OTHER = {"index.html": b"<html>two</html>", "a b+%.js": b"script two", "img/new.png": b"picture", "empty.txt": b""}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with observed_site(tmp_path) as running:
        running.stage(1, FILES)
        running.activate(activation(1))
        yield running


def test_a_clean_server_is_found_faultless(site: Site) -> None:
    tally = run(site.url, lambda tally: tally.checks >= 300)
    assert tally.good, tally.document()
    assert [tally.of(count) for count in Count] == [0, 0, 0]
    (version,) = tally.versions.values()
    assert version.epochs == {1}
    assert tally.unjudged == 0


def test_flips_of_a_server_that_obeys_pins_are_found_faultless(site: Site) -> None:
    first = json.loads(site.version(1).read_text())["versionToken"]
    second = site.stage(2, OTHER)
    site.stage(3, FILES)
    pending = [2, 3]
    looked_at = 0

    def until(tally: Tally) -> bool:
        nonlocal looked_at
        if pending and tally.newest_epoch == pending[0] - 1 and tally.checks >= looked_at + 100:
            looked_at = tally.checks
            site.activate(activation(pending.pop(0)))
        return tally.newest_epoch == 3 and tally.checks >= looked_at + 100

    tally = run(site.url, until)
    assert tally.good, tally.document()
    assert {token: version.epochs for token, version in tally.versions.items()} == {first: {1, 3}, second: {2}}


def test_a_server_that_drops_the_pins_release_at_each_flip_is_found_torn(site: Site) -> None:
    epoch, looked_at = 1, 0

    def until(tally: Tally) -> bool:
        nonlocal epoch, looked_at
        if tally.kinds:
            return True
        if tally.checks < looked_at + 25:
            # Flips that came faster than rounds, on a busy machine, would let no client come as far as a part.
            return False
        looked_at = tally.checks
        site.stage(epoch + 1, OTHER if epoch % 2 else FILES)
        site.activate(activation(epoch + 1))
        (site.root / "activations" / activation(epoch)).rename(site.root / f"dropped-{epoch}")
        epoch += 1
        return False

    tally = run(site.url, until)
    assert set(tally.kinds) <= {Kind.MISSING, Kind.OTHER_BYTES}, tally.document()
    assert not any("?" in sample.url for sample in tally.samples)


def test_a_listed_file_that_is_missing_is_torn_by_hash_and_by_path(site: Site) -> None:
    site.by_hash(FILES["a b+%.js"]).unlink()
    site.by_path(1, "a b+%.js").unlink()
    tally = run(site.url, lambda tally: len({s.url for s in tally.samples}) == 2)
    assert only(tally, Kind.MISSING), tally.document()
    assert tally.of(Count.TORN) == tally.kinds[Kind.MISSING]
    assert (tally.of(Count.BACKWARD), tally.of(Count.ERRORS)) == (0, 0)


def test_an_entry_document_that_is_missing_is_torn(site: Site) -> None:
    site.by_path(1, "index.html").unlink()
    tally = run(site.url, lambda tally: Kind.MISSING in tally.kinds)
    assert only(tally, Kind.MISSING), tally.document()
    assert {sample.url for sample in tally.samples} == {f"{site.url}/App/index.html"}


@pytest.mark.parametrize("where", ["by hash", "by path", "entry"])
def test_other_bytes_are_torn(site: Site, where: str) -> None:
    name = "index.html" if where == "entry" else "css/ü.css"
    place = site.by_hash(FILES[name]) if where == "by hash" else site.by_path(1, name)
    place.write_bytes(place.read_bytes() + b" ")
    tally = run(site.url, lambda tally: tally.kinds[Kind.OTHER_BYTES] >= 3)
    assert only(tally, Kind.OTHER_BYTES), tally.document()
    assert {"?" in sample.url for sample in tally.samples} == {where == "by hash"}


def test_an_older_epoch_after_a_newer_one_is_backward_and_nothing_else(site: Site) -> None:
    site.stage(2, FILES)
    site.activate(activation(2))

    def until(tally: Tally) -> bool:
        if tally.checks >= 100:
            site.activate(activation(1))
        return any(1 in version.epochs for version in tally.versions.values())

    tally = run(site.url, until)
    assert only(tally, Kind.BACKWARD), tally.document()
    assert tally.of(Count.BACKWARD) > 0
    (version,) = tally.versions.values()
    assert version.epochs == {1, 2}
    assert {sample.epoch for sample in tally.samples} == {1}


def test_a_token_without_its_manifest_is_torn(site: Site) -> None:
    token = json.loads(site.version(1).read_text())["versionToken"]
    (site.root / "by-hash" / token).unlink()
    tally = run(site.url, lambda tally: bool(tally.kinds))
    assert only(tally, Kind.NO_MANIFEST), tally.document()


def test_another_tokens_manifest_is_torn(site: Site) -> None:
    token = json.loads(site.version(1).read_text())["versionToken"]
    other = site.stage(2, OTHER)
    (site.root / "by-hash" / other).replace(site.root / "by-hash" / token)
    tally = run(site.url, lambda tally: bool(tally.kinds))
    assert only(tally, Kind.OTHER_MANIFEST), tally.document()
    assert other in tally.samples[0].fault.found


def test_an_activation_that_changes_its_token_is_torn(site: Site) -> None:
    site.stage(2, OTHER)

    def until(tally: Tally) -> bool:
        if tally.checks >= 100 and site.version(2).exists():
            site.version(2).replace(site.version(1))
        return Kind.MIXED in tally.kinds

    tally = run(site.url, until)
    assert tally.of(Count.TORN) == tally.kinds.total()


@pytest.mark.parametrize("how", ["garbage", "empty", "fields"])
def test_a_version_check_or_manifest_that_is_garbage_is_an_error(site: Site, how: str) -> None:
    token = json.loads(site.version(1).read_text())["versionToken"]
    broken = {"garbage": b"\xff\x00<html>", "empty": b"", "fields": b'{"manifest": {}}'}[how]
    (site.root / "by-hash" / token).write_bytes(broken)
    tally = run(site.url, lambda tally: bool(tally.kinds))
    assert only(tally, Kind.MALFORMED), tally.document()
    assert tally.checks > 0
    site.version(1).write_bytes(broken)
    tally = run(site.url, lambda tally: bool(tally.kinds))
    assert only(tally, Kind.MALFORMED), tally.document()
    assert tally.checks == 0


@pytest.mark.parametrize(("how", "kind"), [("failed", Kind.STATUS), ("moved", Kind.REDIRECT)])
def test_failures_and_redirects_are_errors(site: Site, how: str, kind: Kind) -> None:
    site.turn(how)
    tally = run(site.url, lambda tally: bool(tally.kinds))
    assert only(tally, kind), tally.document()
    assert (tally.checks, tally.of(Count.ERRORS)) == (0, tally.kinds[kind])


def test_an_app_that_is_not_there_is_an_error(site: Site) -> None:
    tally = run(site.url, lambda tally: bool(tally.kinds), app="Other")
    assert only(tally, Kind.STATUS), tally.document()


def test_a_server_that_names_no_activation_is_an_error_though_its_files_are_checked(site: Site) -> None:
    (site.root / "activations" / activation(1)).rename(site.root / "plain")
    (site.root / "current").unlink()
    (site.root / "current").symlink_to("plain")
    tally = run(site.url, lambda tally: tally.checks >= 20)
    assert only(tally, Kind.UNNAMED), tally.document()
    assert next(iter(tally.versions.values())).epochs == set()


def test_a_body_above_the_limit_is_an_error(site: Site) -> None:
    content = b"x" * 20_000
    site.stage(2, {"index.html": b"small", "big.bin": content})
    site.activate(activation(2))
    tally = run(site.url, lambda tally: bool(tally.kinds), limits=Limits(body=10_000))
    assert only(tally, Kind.OVERSIZE), tally.document()
    assert "/App/big.bin" in tally.samples[0].url


def test_a_server_that_speaks_no_tls_is_an_error(site: Site) -> None:
    tally = run(site.url.replace("http:", "https:"), lambda tally: bool(tally.kinds))
    assert only(tally, Kind.CONNECTION), tally.document()
