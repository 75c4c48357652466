"""What it means for one app's clients that a fleet moves to another release, and what an operator has to confirm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inventory.model import Distribution
from orchestrator.domain.build import Build
from orchestrator.domain.described import Described
from orchestrator.domain.upgrade import Reason, Upgrade, incompatible, native_changes, upgrade


@dataclass(frozen=True, slots=True)
class Consent:
    """What the operator confirms: builds that are made of the new release, by app ("" where there is one app that
    needs it); that outdated builds are accepted; that builds whose calls the server no longer understands are.
    """

    new_builds: Mapping[str, str] = field(default_factory=dict)
    outdated: bool = False
    incompatible: bool = False


NO_CONSENT = Consent()


@dataclass(frozen=True, slots=True)
class Installed:
    """A build in the field, and the release that it was built from."""

    build: Build
    release: Described


@dataclass(frozen=True, slots=True)
class Hurt:
    """A build that the update may hurt, and why."""

    build: Build
    reasons: tuple[Reason, ...]

    def document(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "build": self.build.id,
            "platform": self.build.platform,
            "version": self.build.version,
            "reasons": [reason.document() for reason in self.reasons],
        }


@dataclass(frozen=True, slots=True)
class Update:
    """One app's update. `before` is the version served now, None where there is none; so is `upgrade` then.

    `installed` counts the builds in the field. `outdated` are those that lack something of the new release,
    `incompatible` those that it no longer understands (asked for `store-only` alone), and `breaks` is why clients of
    the present release would not be understood: it counts where no build is recorded.
    """

    app: str
    before: str | None
    after: str
    distribution: Distribution
    upgrade: Upgrade | None
    installed: int
    outdated: tuple[Hurt, ...]
    incompatible: tuple[Hurt, ...]
    breaks: tuple[Reason, ...]

    @property
    def needs_build(self) -> bool:
        """Whether an operator must confirm that installed apps are outdated.

        Store-only clients are not offered the update, so it outdates none of them. Where builds are recorded, one of
        them must lack something; where none is, any that is out there may.
        """
        if self.upgrade is None or not self.upgrade.needs_build or self.distribution is Distribution.STORE_ONLY:
            return False
        return bool(self.outdated) or self.installed == 0

    @property
    def needs_compatibility(self) -> bool:
        """Whether an operator must confirm that installed apps are not understood any more."""
        return bool(self.incompatible or self.breaks)

    def document(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "from": self.before,
            "to": self.after,
            "distribution": self.distribution.value,
            **({"kind": "first"} if self.upgrade is None else self.upgrade.document()),
            "builds": self.installed,
            "outdated": [hurt.document() for hurt in self.outdated],
            "incompatible": [hurt.document() for hurt in self.incompatible],
            "breaks": [reason.document() for reason in self.breaks],
            "confirm": [
                *(["new-build"] if self.needs_build else []),
                *(["incompatible-builds"] if self.needs_compatibility else []),
            ],
        }


def update(
    app: str,
    distribution: Distribution,
    before: tuple[str, Described] | None,
    after: tuple[str, Described],
    installed: tuple[Installed, ...],
) -> Update:
    """The update of `app` from one version and release to another, with these builds in the field."""
    store_only = distribution is Distribution.STORE_ONLY
    release = after[1]
    outdated = () if store_only else _hurt(installed, lambda held: native_changes(held, release))
    broken = _hurt(installed, lambda held: incompatible(held, release)) if store_only else ()
    breaks = incompatible(before[1], release) if store_only and before is not None and not installed else ()
    return Update(
        app,
        None if before is None else before[0],
        after[0],
        distribution,
        None if before is None else upgrade(before[1], release),
        len(installed),
        outdated,
        broken,
        breaks,
    )


def _hurt(installed: tuple[Installed, ...], of: Callable[[Described], tuple[Reason, ...]]) -> tuple[Hurt, ...]:
    found = ((each.build, of(each.release)) for each in installed)
    return tuple(Hurt(build, reasons) for build, reasons in found if reasons)
