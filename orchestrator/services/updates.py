"""What a plan means for the clients of each app, and whether the operator has confirmed what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from inventory.model import Distribution, Fleet
from orchestrator.domain.activation import Placement
from orchestrator.domain.build import ID, PLATFORM, Build
from orchestrator.domain.described import Described
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.paths import show
from orchestrator.domain.update import Consent, Installed, Update, update
from orchestrator.ports import Artifacts, Builds, Clock, Releases
from orchestrator.services.releases import described


@dataclass(frozen=True, slots=True)
class Updating:
    """Builds in the field, and what a plan does to them."""

    releases: Releases
    artifacts: Artifacts
    builds: Builds
    clock: Clock

    def record(self, environment: str, app: str, name: str, version: str, platform: str, actor: str) -> Build:
        """Record a build that was made from a release. `UsageError` where something of it can't be."""
        if ID.fullmatch(name) is None:
            raise UsageError(
                "not a build's id",
                expected="a letter or digit, then letters, digits, '.', '_', '+' and '-', at most 64",
                found=show(name),
            )
        if platform and PLATFORM.fullmatch(platform) is None:
            raise UsageError(
                "not a platform", expected="a word of small letters, such as android", found=show(platform)
            )
        self._digest(app, version)
        return self.builds.add_build(Build(environment, app, name, version, platform, actor, self.clock()))

    def in_the_field(self, fleet: Fleet, app: str) -> tuple[str, ...] | None:
        """A placement's `builds`: None where the app is hybrid, else the digests of its builds' releases."""
        (distribution,) = (each.distribution for each in fleet.apps if each.name == app)
        if distribution is Distribution.HYBRID:
            return None
        found = self.builds.builds(fleet.environment, app)
        return tuple(sorted({self._digest(app, build.version) for build in found}))

    def updates(self, fleet: Fleet, before: Sequence[Placement], after: Sequence[Placement]) -> tuple[Update, ...]:
        """The update of each app whose release changes."""
        served = {placement.app: placement for placement in before}
        read = lru_cache(maxsize=None)(partial(described, self.artifacts))
        return tuple(
            self._update(fleet, served.get(placement.app), placement, read)
            for placement in after
            if placement.app not in served or served[placement.app].digest != placement.digest
        )

    def agree(self, fleet: Fleet, updates: Sequence[Update], consent: Consent, actor: str) -> None:
        """See that all that has to be confirmed is; then record the new builds.

        Raises:
            ConflictError: Something is not confirmed; nothing was written.
            UsageError: A new build is named for an app that is not updated, or for nobody knows which.
        """
        named = self._named(updates, consent)
        for each in updates:
            if each.needs_compatibility and not consent.incompatible:
                raise _incompatible(fleet, each)
            if each.needs_build and not consent.outdated and each.app not in named:
                raise _outdated(each)
        for each in updates:
            if each.app in named:
                self.record(fleet.environment, each.app, named[each.app], each.after, "", actor)

    def _named(self, updates: Sequence[Update], consent: Consent) -> Mapping[str, str]:
        """The new builds by app."""
        needing = [each.app for each in updates if each.needs_build] or [each.app for each in updates]
        named = {app: name for app, name in consent.new_builds.items() if app}
        if "" in consent.new_builds:
            if len(needing) != 1:
                raise UsageError(
                    "it is not clear of which app the new build is",
                    expected="--new-build APP=ID",
                    found=f"--new-build {consent.new_builds['']}, and {len(needing)} apps that are updated",
                )
            named[needing[0]] = consent.new_builds[""]
        for app in named:
            if app not in {each.app for each in updates}:
                raise UsageError(f"{app} is not updated, so a new build of it is not of this deployment", found=app)
        return named

    def _update(
        self, fleet: Fleet, before: Placement | None, after: Placement, read: Callable[[str], Described]
    ) -> Update:
        (distribution,) = (each.distribution for each in fleet.apps if each.name == after.app)
        installed = tuple(
            Installed(build, read(self._digest(after.app, build.version)))
            for build in self.builds.builds(fleet.environment, after.app)
        )
        old = None if before is None else (before.version, read(before.digest))
        return update(after.app, distribution, old, (after.version, read(after.digest)), installed)

    def _digest(self, app: str, version: str) -> str:
        found = self.releases.release(app, version)
        if found is None:
            raise UsageError(
                f"there is no release {app} {version}",
                expected="the version that the build was made from",
                remedy=f"see: lockstep release list --app {app}",
            )
        return found.digest


def _outdated(each: Update) -> ConflictError:
    assert each.upgrade is not None
    builds = ", ".join(_build(hurt.build) for hurt in each.outdated)
    return ConflictError(
        f"{each.app} {each.after} needs a new build of the installed app",
        expected="a build that was made from it, or your word that outdated ones are accepted",
        found="; ".join(str(reason) for reason in each.upgrade.new_build)
        + (f". It may hurt: {builds}" if builds else ". No build is recorded: it may hurt any that is installed"),
        remedy=f"the same command with --new-build {each.app}=ID, or with --accept-outdated-builds",
    )


def _incompatible(fleet: Fleet, each: Update) -> ConflictError:
    found = [f"{_build(hurt.build)}: {'; '.join(map(str, hurt.reasons))}" for hurt in each.incompatible]
    if each.breaks:
        found.append(f"no build is recorded; clients of {each.before}: {'; '.join(map(str, each.breaks))}")
    return ConflictError(
        f"{each.app} {each.after} would not understand installed clients, which {fleet.environment} updates "
        "through the stores alone",
        expected="every screen and action of the builds in the field, with the same signature",
        found=" | ".join(found),
        remedy="keep what they call; retire builds that nobody has any more "
        f"(lockstep builds retire {fleet.environment} {each.app} ID); or the same command with "
        "--accept-incompatible-builds",
    )


def _build(build: Build) -> str:
    return f"{build.id} ({build.platform + ', ' if build.platform else ''}made from {build.version})"
