"""What is deployed in simulations: releases of one small file, and fleets that serve them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import BinaryIO

from inventory.model import Fleet
from orchestrator.domain.build import Build
from orchestrator.domain.release import File, Manifest, ota_hash
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import Intake, ReleaseRecord
from tests.protocol.simulation.ledger import MemoryLedger

APP = "App"
VERSIONS = ("1", "2", "3", "4")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJcm6B5z4R1y2IhLzgGXB5de65ZNWsN6W9K7plwrEAOW"


def names(count: int) -> tuple[str, ...]:
    """The names of so many frontends."""
    return tuple(f"fe{number}" for number in range(1, count + 1))


@cache
def fleet(count: int, max_drained: int = 0) -> Fleet:
    """So many frontends behind HAProxy. One activation before the present one is kept, however young."""
    drains = {"unreachable": "drain", "max_drained": max_drained} if max_drained else {}
    return Fleet.model_validate(
        {
            "environment": "Test",
            "name": "web",
            "apps": [{"name": APP, "mount": "/App/"}],
            "frontends": [
                {
                    "name": name,
                    "address": f"127.0.0.{place}",
                    "user": "deploy",
                    "host_key": HOST_KEY,
                    "root": "/srv/lockstep",
                    "url": f"http://127.0.0.{place}:8080",
                }
                for place, name in enumerate(names(count), 1)
            ],
            "load_balancer": {"kind": "haproxy", "sockets": ["unix:///run/haproxy/admin.sock"], "backend": "web"},
            "policy": {"keep": 1, "keep_hours": 0, **drains},
        }
    )


@cache
def manifest(version: str) -> Manifest:
    """The manifest of a version."""
    text = f"release {version}".encode()
    md5 = hashlib.md5(text, usedforsecurity=False).digest()
    return Manifest.of([File("index.html", len(text), hashlib.sha256(text).hexdigest(), ota_hash(md5))])


class ManifestsAlone:
    """`orchestrator.ports.Artifacts`, of which simulations need the manifests."""

    def __init__(self) -> None:
        self._manifests = {manifest(version).digest: manifest(version) for version in VERSIONS}

    def manifest(self, digest: str) -> Manifest:
        """One of the versions'."""
        return self._manifests[digest]

    def intake(self) -> AbstractContextManager[Intake]:
        """Nothing comes in."""
        raise AssertionError("simulations build no release")

    def add(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """Nothing comes in."""
        raise AssertionError(f"simulations store no object: {sha256} {chunks}")

    def has(self, sha256: str) -> bool:
        """Nobody asks."""
        raise AssertionError(f"simulations hold no object: {sha256}")

    def open(self, sha256: str) -> BinaryIO:
        """Nobody asks."""
        raise AssertionError(f"simulations hold no object: {sha256}")

    def add_manifest(self, manifest: Manifest) -> None:
        """Nothing comes in."""
        raise AssertionError(f"simulations build no release: {manifest}")


class SimulatedLedger(MemoryLedger):
    """The ledger in memory, with releases. `writes` counts what was written."""

    def __init__(self, elapsed: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(lambda: EPOCH + timedelta(seconds=elapsed()))
        self.writes = 0
        self._releases = {
            (APP, version): ReleaseRecord(APP, version, manifest(version).digest, 1, 1, EPOCH) for version in VERSIONS
        }

    def add_release(self, record: ReleaseRecord, *, actor: str = ITSELF) -> ReleaseRecord:
        """All are there from the start."""
        raise AssertionError(f"simulations build no release: {record} by {actor}")

    def release(self, app: str, version: str) -> ReleaseRecord | None:
        """One release, or None."""
        return self._releases.get((app, version))

    def releases(
        self, app: str | None = None, *, before: tuple[str, str] | None = None, limit: int | None = None
    ) -> list[ReleaseRecord]:
        """All."""
        assert before is None and limit is None
        return [record for record in self._releases.values() if app in (None, record.app)]


class NoBuilds:
    """`orchestrator.ports.Builds` of which nothing is known: nothing is installed anywhere."""

    def builds(self, environment: str | None = None, app: str | None = None, *, retired: bool = False) -> list[Build]:
        """None."""
        del environment, app, retired
        return []

    def add_build(self, build: Build) -> Build:
        """None is recorded."""
        raise AssertionError(f"simulations record no build: {build}")

    def retire_build(self, environment: str, app: str, name: str, *, actor: str = ITSELF) -> Build:
        """None is there."""
        raise AssertionError(f"simulations retire no build: {environment} {app} {name} by {actor}")


NO_BUILDS = NoBuilds()
