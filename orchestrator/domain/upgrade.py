"""What kind of update it is to go from one release of an app to another. docs/ota.md has the rules in words.

Pure. A change ships over the air in any case; whether it also needs a new build of the installed app is said apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.domain.described import Described
from orchestrator.domain.native import Native
from orchestrator.domain.paths import show


class Kind(StrEnum):
    """What running clients see of an update over the air."""

    #: The same content, or the first release: nothing to update from.
    NONE = "none"
    #: Applied at the next navigation.
    SEAMLESS = "seamless"
    #: The running client must reload before it can call the server.
    ATTENTION = "attention"


class Rule(StrEnum):
    """Why a change is what it is: one rule each."""

    FILES = "files"
    SCREEN = "screen"
    ACTION = "action"
    APP_NAME = "app name"
    ICON = "icon"
    PRIMARY_COLOR = "primary colour"
    SPLASH = "splash"
    PLUGIN = "plugin"
    PLUGIN_CONFIGURATION = "plugin configuration"
    RESOURCE = "resource"
    PLATFORM = "platform configuration"
    ENTRY_MODULE = "entry module"
    EXTENSIBILITY = "extensibility configuration"


@dataclass(frozen=True, slots=True)
class Reason:
    """One change that counts: by which rule, of what (a name, or ""), and how, in words."""

    rule: Rule
    of: str
    how: str

    def __str__(self) -> str:
        return f"{self.rule}{self.of and ' '}{show(self.of) if self.of else ''}: {self.how}"

    def document(self) -> dict[str, str]:
        """As JSON carries it."""
        return {"rule": self.rule.value, "of": self.of, "how": self.how}


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an update does: over the air, and to installed builds. `over_the_air` says why it is of its kind."""

    kind: Kind
    over_the_air: tuple[Reason, ...] = ()
    new_build: tuple[Reason, ...] = ()

    @property
    def needs_build(self) -> bool:
        """Whether something changed that is built into the installed app."""
        return bool(self.new_build)

    def document(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "kind": self.kind.value,
            "needs_build": self.needs_build,
            "over_the_air": [reason.document() for reason in self.over_the_air],
            "new_build": [reason.document() for reason in self.new_build],
        }


def upgrade(before: Described, after: Described) -> Upgrade:
    """What it is to go from `before` to `after`."""
    broken = incompatible(before, after)
    if broken:
        kind, reasons = Kind.ATTENTION, broken
    else:
        reasons = tuple(_files(before, after))
        kind = Kind.SEAMLESS if reasons else Kind.NONE
    return Upgrade(kind, reasons, native_changes(before, after))


def incompatible(before: Described, after: Described) -> tuple[Reason, ...]:
    """What a client of `before` relies on and does not find in `after`: screens and actions, changed or gone.

    None: `after` is backward compatible. What was added harms nobody.
    """
    screens = _relied_on(Rule.SCREEN, before.contract.screens, after.contract.screens)
    return (*screens, *_relied_on(Rule.ACTION, before.contract.actions, after.contract.actions))


def native_changes(before: Described, after: Described) -> tuple[Reason, ...]:
    """What of an app that was built from `before` only a build from `after` would have right."""
    old, new = before.native, after.native
    return (
        *_value(Rule.APP_NAME, old.app_name, new.app_name),
        *_file(Rule.ICON, before, after, old.icon, new.icon),
        *_value(Rule.PRIMARY_COLOR, _folded(old.primary_color), _folded(new.primary_color)),
        *_file(Rule.SPLASH, before, after, old.splash, new.splash),
        *_plugins(old, new),
        *_resources(before, after),
        *_configurations(Rule.PLATFORM, old.platforms, new.platforms),
        *_entry_module(old, new),
        *_changed(Rule.EXTENSIBILITY, "", old.extensibility, new.extensibility),
    )


def _files(before: Described, after: Described) -> Iterator[Reason]:
    old, new = before.manifest.by_path, after.manifest.by_path
    counts = (
        (len(new.keys() - old.keys()), "added"),
        (len(old.keys() - new.keys()), "removed"),
        (sum(old[path].sha256 != new[path].sha256 for path in old.keys() & new.keys()), "changed"),
    )
    how = ", ".join(f"{count} {verb}" for count, verb in counts if count)
    if how:
        yield Reason(Rule.FILES, "", how)


def _relied_on(rule: Rule, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Reason]:
    for name, signature in sorted(old.items()):
        if name not in new:
            yield Reason(rule, name, "is gone")
        elif new[name] != signature:
            yield Reason(rule, name, "has another signature")


def _value(rule: Rule, old: str | None, new: str | None) -> Iterator[Reason]:
    if old != new:
        yield Reason(rule, "", f"{_shown(old)} → {_shown(new)}")


def _shown(value: str | None) -> str:
    return "none" if value is None else show(value)


def _folded(colour: str | None) -> str | None:
    """A colour's hex digits mean the same in either case."""
    return None if colour is None else colour.upper()


def _file(rule: Rule, before: Described, after: Described, old: str | None, new: str | None) -> Iterator[Reason]:
    """A file by what it holds: under another name it is the same."""
    if _content(before, old) == _content(after, new):
        return
    if old is None or new is None:
        yield from _value(rule, old, new)
    else:
        yield Reason(rule, new, "has other content")


def _content(release: Described, path: str | None) -> str | None:
    return None if path is None else release.manifest.by_path[path].sha256


def _plugins(old: Native, new: Native) -> Iterator[Reason]:
    for name in sorted(old.plugins.keys() | new.plugins.keys()):
        was, now = old.plugins.get(name), new.plugins.get(name)
        if was is None or now is None:
            yield Reason(Rule.PLUGIN, name, "is new" if was is None else "is gone")
            continue
        if was.version != now.version:
            yield Reason(Rule.PLUGIN, name, f"{show(was.version)} → {show(now.version)}")
        yield from _changed(Rule.PLUGIN_CONFIGURATION, name, was.configuration, now.configuration)


def _resources(before: Described, after: Described) -> Iterator[Reason]:
    """By path: a plugin reads it there."""
    old, new = set(before.native.resources), set(after.native.resources)
    for path in sorted(old | new):
        if path not in old or path not in new:
            yield Reason(Rule.RESOURCE, path, "is new" if path in new else "is gone")
        elif _content(before, path) != _content(after, path):
            yield Reason(Rule.RESOURCE, path, "has other content")


def _configurations(rule: Rule, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Reason]:
    for name in sorted(old.keys() | new.keys()):
        yield from _changed(rule, name, old.get(name), new.get(name))


def _changed(rule: Rule, of: str, old: object, new: object) -> Iterator[Reason]:
    if _differ(old, new):
        yield Reason(rule, of, "is new" if old is None else "is gone" if new is None else "has changed")


def _differ(old: object, new: object) -> bool:
    """As JSON: to Python ``1``, ``1.0`` and ``true`` are equal."""
    return repr(_sorted(old)) != repr(_sorted(new))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return [(name, _sorted(value[name])) for name in sorted(value)]
    return [_sorted(each) for each in value] if isinstance(value, (list, tuple)) else value


def _entry_module(old: Native, new: Native) -> Iterator[Reason]:
    was, now = old.entry_module, new.entry_module
    if was is None or now is None:
        yield from _changed(Rule.ENTRY_MODULE, "", was, now)
        return
    yield from _value(Rule.ENTRY_MODULE, was.key, now.key)
    if was.name != now.name:
        yield Reason(Rule.ENTRY_MODULE, "", f"its name: {show(was.name)} → {show(now.name)}")
