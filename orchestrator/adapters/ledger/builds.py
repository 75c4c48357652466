"""The ledger's builds: which installed apps are in the field."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, insert, or_, select, update

from orchestrator.adapters.ledger.actions import build_action
from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.tables import builds
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.build import Build
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.trail import ITSELF


class SqlBuilds(LedgerPart):
    """`orchestrator.ports.Builds` on an engine of `engine.open_engine`. Safe to share between threads."""

    def builds(self, environment: str | None = None, app: str | None = None, *, retired: bool = False) -> list[Build]:
        """Builds, oldest first; with `retired` also those that nobody has any more."""
        query = select(builds).order_by(builds.c.id)
        if environment is not None:
            query = query.where(builds.c.environment == environment)
        if app is not None:
            query = query.where(builds.c.app == app)
        if not retired:
            query = query.where(builds.c.retired_at.is_(None))
        with self._database.reading() as connection:
            return [_build(row) for row in connection.execute(query).mappings()]

    def add_build(self, build: Build) -> Build:
        """Record a build. The same again is no change; one that was retired is back."""
        columns: dict[str, Any] = {
            "environment": build.environment,
            "app": build.app,
            "name": build.id,
            "version": build.version,
            "platform": build.platform,
            "actor": build.actor,
            "created_at": build.created_at,
        }
        try:
            with self._database.writing() as connection:
                made = _build(connection.execute(insert(builds).values(columns).returning(builds)).mappings().one())
                append(connection, build_action("build.recorded", made, build.actor), self._clock())
                return made
        except DuplicateError:
            return self._again(build)

    def retire_build(self, environment: str, app: str, name: str, *, actor: str = ITSELF) -> Build:
        """Say that nobody has it any more. `UsageError` where it is not known; once more is no change."""
        mine, now = _one(environment, app, name), self._clock()
        retire = update(builds).where(*mine, builds.c.retired_at.is_(None)).values(retired_at=now)
        with self._database.writing() as connection:
            changed = connection.execute(retire).rowcount == 1
            row = connection.execute(select(builds).where(*mine)).mappings().one_or_none()
            if row is not None and changed:
                append(connection, build_action("build.retired", _build(row), actor), now)
        if row is None:
            raise UsageError(
                f"there is no build {name} of {app} in {environment}", remedy=f"see: lockstep builds list {environment}"
            )
        return _build(row)

    def _again(self, build: Build) -> Build:
        mine = _one(build.environment, build.app, build.id)
        same = [builds.c.version == build.version]
        news: ColumnElement[bool] = builds.c.retired_at.is_not(None)
        values: dict[str, Any] = {"retired_at": None}
        if build.platform:
            # One that nobody said can be said later.
            same.append(builds.c.platform.in_([build.platform, ""]))
            news = or_(news, builds.c.platform != build.platform)
            values["platform"] = build.platform
        with self._database.writing() as connection:
            changed = connection.execute(update(builds).where(*mine, *same, news).values(values)).rowcount == 1
            found = _build(connection.execute(select(builds).where(*mine)).mappings().one())
            if changed:
                append(connection, build_action("build.recorded", found, build.actor), self._clock())
        if found.version != build.version or build.platform not in (found.platform, ""):
            raise ConflictError(
                f"build {build.id} of {build.app} in {build.environment} is recorded with something else",
                expected=f"release {found.version}, platform {found.platform or 'not named'}",
                found=f"release {build.version}, platform {build.platform or 'not named'}",
                remedy="a build never changes: record this one under another id",
            )
        return found


def _one(environment: str, app: str, name: str) -> tuple[Any, ...]:
    return builds.c.environment == environment, builds.c.app == app, builds.c.name == name


def _build(row: RowMapping) -> Build:
    return Build(
        row["environment"],
        row["app"],
        row["name"],
        row["version"],
        row["platform"],
        row["actor"],
        row["created_at"],
        row["retired_at"],
    )
