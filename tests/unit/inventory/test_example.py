"""example.yml is the manual: it must load, and have every field of the model, its default and its limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

import pytest
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from inventory import loader
from inventory.document import Node, read
from inventory.model import Audits, Environment, Fleet, Frontend, Gate, Gates, LoadBalancer, MountedApp, Policy
from inventory.problem import Report

TEXT = loader.EXAMPLE.read_text(encoding="utf-8")
#: Model -> its fields that are keys of the file, not names.
OWN_KEYS = {
    "MountedApp": {"name"},
    "Fleet": {"environment", "name", "four_eyes"},
    "Environment": {"name", "order"},
    "Frontend": {"name"},
}
FIELDS = {
    (model.__name__, name): info
    for model in (Environment, MountedApp, Fleet, Frontend, Gate, Gates, LoadBalancer, Policy, Audits)
    for name, info in model.model_fields.items()
    if name not in OWN_KEYS.get(model.__name__, set())
}


def nodes() -> Iterator[Node]:
    """Every value of the manual, in its order."""
    root = read(TEXT, Report("example.yml"))
    assert root is not None
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node.content, dict):
            waiting[:0] = node.content.values()


def stands_for(field: tuple[str, ...]) -> str:
    """The model that the field at this path belongs to; empty where it is none's."""
    match field:
        case ("apps", _, _) | ("environments", _, "distribution"):
            return "MountedApp"
        case ("environments", _, _):
            return "Environment"
        case ("environments", _, "fleets", _, _):
            return "Fleet"
        case (*_, "audits", _):
            return "Audits"
        case (*_, "policy", _):
            return "Policy"
        case (*_, "gates", _):
            return "Gates"
        case (*_, "gates", _, _):
            return "Gate"
        case (*_, "load_balancer", _):
            return "LoadBalancer"
        case (*_, "defaults", _) | (*_, "frontends", _, _):
            return "Frontend"
        case _:
            return ""


def comment(model: str, name: str) -> str:
    """What the manual says of a field where it occurs first: above it, and behind it."""
    node = next(n for n in nodes() if n.field[-1:] == (name,) and stands_for(n.field) == model)
    lines = TEXT.split("\n")
    line = above = node.key.line - 1
    while lines[above - 1].lstrip().startswith("#"):
        above -= 1
    said = [text.strip().lstrip("# ") for text in lines[above:line]]
    return " ".join([*said, lines[line].partition(" # ")[2]])


def test_it_loads_and_its_fleets_survive_their_snapshots() -> None:
    fleets = loader.load(loader.EXAMPLE).fleets
    assert [fleet.key for fleet in fleets] == ["Development/web", "Production/landing", "Production/web"]
    for fleet in fleets:
        assert Fleet.model_validate(fleet.model_dump(mode="json")) == fleet


def test_it_has_every_field_of_the_models() -> None:
    there = {(stands_for(node.field), node.field[-1]) for node in nodes() if node.field}
    assert set(FIELDS) | {("Fleet", "defaults")} <= there
    assert {node.field[-1] for node in nodes() if "defaults" in node.field[-2:-1]} == set(loader.DEFAULTS)


@pytest.mark.parametrize(("field", "info"), FIELDS.items(), ids=[".".join(key) for key in FIELDS])
def test_it_says_each_field_s_default_and_limits(field: tuple[str, str], info: FieldInfo) -> None:
    said = comment(*field)
    default = info.get_default(call_default_factory=True)
    if isinstance(default, Policy):
        assert "Every field has a default" in said
    elif info.is_required():
        assert "no default" in said or "at least one" in said
    elif default is None or isinstance(default, Gates | Audits):
        assert "default: none" in said
    else:
        shown = default.value if isinstance(default, StrEnum) else str(default).lower() if default is False else default
        assert f"default {shown}" in said
    for limit in limits(info):
        assert re.search(rf"\b{limit:g}\b" if limit < 1000 else rf"\b{limit:.0f}\b", said)


def limits(info: FieldInfo) -> Iterator[float]:
    for bound in info.metadata:
        match bound:
            case Ge(value) | Gt(value) | Le(value):
                assert isinstance(value, int)
                yield value


def test_limits_are_seen_at_all() -> None:
    assert list(limits(FIELDS["Frontend", "port"])) == [1, 65_535]
    assert list(limits(FIELDS["Policy", "hold_hours"])) == [0, 8_760]
