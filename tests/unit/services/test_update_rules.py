"""Every rule of what kind of update a change is, and of what has to be confirmed, as a row of one table.

A row is a change from one release to another, under a distribution and with builds in the field; what the plan says of
it, and which words the operator must add before it is started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inventory.model import Fleet
from orchestrator.domain.activation import Placement, digests
from orchestrator.domain.build import Build
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.update import NO_CONSENT, Consent
from orchestrator.ota.documents import token
from orchestrator.ota.layouts import layout
from orchestrator.services.deployments import Schedule
from orchestrator.services.releases import described
from tests.unit.services.fleets import NOW, World, fleet

Files = Mapping[str, bytes]

PLUGIN = {"plugins": {"camera": {"version": "7.0", "configuration": {"quality": 80}}}}
MODULE = {"entry_module": {"key": "4630", "name": "ToDo"}}
PICTURES = {"img/a.png": b"a", "img/b.png": b"b", "google.json": b"{}"}


def native(**fields: Any) -> Files:
    return {**PICTURES, "native.json": json.dumps({"format": 1, **fields}).encode()}


def contract(**fields: Any) -> Files:
    return {"contract.json": json.dumps({"format": 1, **fields}).encode()}


SAVE = contract(actions={"Save": "1"}, screens={"Home": "1"})
OTHER_SAVE = contract(actions={"Save": "2"}, screens={"Home": "1"})
MORE = contract(actions={"Save": "1", "Drop": "1"}, screens={"Home": "1", "About": "1"})

#: What a row may ask of the operator.
NEW_BUILD, INCOMPATIBLE = "new-build", "incompatible-builds"


@dataclass(frozen=True)
class Row:
    """`before` and `after` are files beside an entry document; `builds` are the versions that builds were made from.

    Browsers are told of the new release; `native` is the version that an installed client is told of which does not
    name its own, None where it is told nothing.
    """

    before: Files | None
    after: Files
    kind: str
    because: tuple[str, ...] = ()
    new_build: tuple[str, ...] = ()
    distribution: str = "hybrid"
    builds: tuple[str, ...] = ()
    confirm: tuple[str, ...] = ()
    hurt: tuple[str, ...] = ()
    native: str | None = "2.0.0"


def changed(old: Files, new: Files, *new_build: str, kind: str = "seamless", builds: tuple[str, ...] = ()) -> Row:
    """A change that needs a new build."""
    return Row(old, new, kind, new_build=new_build, builds=builds, confirm=(NEW_BUILD,), hurt=builds)


def store_only(before: Files | None, after: Files, kind: str, native: str | None, **more: Any) -> Row:
    """A change of a store-only app."""
    return Row(before, after, kind, distribution="store-only", native=native, **more)


ROWS: Mapping[str, Row] = {
    # --- over the air ---
    "a first release": Row(None, SAVE, "first"),
    "the same content": Row(SAVE, SAVE, "none"),
    "a file changed": Row({"a.js": b"1"}, {"a.js": b"2"}, "seamless", ("files: 1 changed",)),
    "a file added": Row({}, {"a.js": b"2"}, "seamless", ("files: 1 added",)),
    "a file removed": Row({"a.js": b"1"}, {}, "seamless", ("files: 1 removed",)),
    "a resource changed, signatures did not": Row({**SAVE, "a": b"1"}, {**SAVE, "a": b"2"}, "seamless"),
    "an action and a screen added": Row(SAVE, MORE, "seamless"),
    "a contract where there was none": Row({}, SAVE, "seamless"),
    "an action's signature changed": Row(SAVE, OTHER_SAVE, "attention", ("action Save: has another signature",)),
    "an action gone": Row(MORE, SAVE, "attention", ("screen About: is gone", "action Drop: is gone")),
    "a screen's contract changed": Row(
        contract(screens={"Home": "1"}), contract(screens={"Home": "2"}), "attention", ("screen Home: has another sig",)
    ),
    "a screen renamed": Row(
        contract(screens={"Home": "1"}), contract(screens={"Start": "1"}), "attention", ("screen Home: is gone",)
    ),
    "a contract gone": Row(SAVE, {}, "attention", ("screen Home: is gone", "action Save: is gone")),
    # --- needs a new build ---
    "app name": changed(native(app_name="A"), native(app_name="B"), "app name: A → B"),
    "app name, first declared": changed({}, native(app_name="A"), "app name: none → A"),
    "icon, another content": changed(
        native(icon="img/a.png"), {**native(icon="img/a.png"), "img/a.png": b"c"}, "icon img/a.png: has other content"
    ),
    "icon, another file": changed(native(icon="img/a.png"), native(icon="img/b.png"), "icon img/b.png: has other"),
    "icon gone": changed(native(icon="img/a.png"), native(), "icon: img/a.png → none"),
    "primary colour": changed(native(primary_color="#000000"), native(primary_color="#FFFFFF"), "primary colour: #"),
    "splash": changed(native(splash="img/a.png"), native(splash="img/b.png"), "splash img/b.png: has other content"),
    "plugin added": changed(native(), native(**PLUGIN), "plugin camera: is new"),
    "plugin removed": changed(native(**PLUGIN), native(), "plugin camera: is gone"),
    "plugin, another version": changed(
        native(plugins={"camera": {"version": "7"}}), native(plugins={"camera": {"version": "8"}}), "plugin camera: 7 →"
    ),
    "plugin, another configuration": changed(
        native(**PLUGIN),
        native(plugins={"camera": {"version": "7.0", "configuration": {"quality": 90}}}),
        "plugin configuration camera: has changed",
    ),
    "plugin, a configuration of another type": changed(
        native(plugins={"camera": {"version": "7", "configuration": 1}}),
        native(plugins={"camera": {"version": "7", "configuration": True}}),
        "plugin configuration camera: has changed",
    ),
    "an external resource that plugins read": changed(
        native(resources=["google.json"]), {**native(resources=["google.json"]), "google.json": b"[]"},
        "resource google.json: has other content",
    ),
    "a resource added": changed(native(), native(resources=["google.json"]), "resource google.json: is new"),
    "a resource removed": changed(native(resources=["google.json"]), native(), "resource google.json: is gone"),
    "platform configuration": changed(
        native(platforms={"android": {"sdk": 26}}), native(platforms={"android": {"sdk": 30}}),
        "platform configuration android: has changed",
    ),
    "entry module": changed(
        native(**MODULE), native(entry_module={"key": "9", "name": "ToDo"}), "entry module: 4630 → 9"
    ),
    "entry module's name": changed(
        native(**MODULE), native(entry_module={"key": "4630", "name": "List"}), "entry module: its name: ToDo → List"
    ),
    "extensibility configurations": changed(
        native(extensibility={"bar": "light"}), native(extensibility={"bar": "dark"}), "extensibility configuration:"
    ),
    "a new build and attention at once": changed(
        {**SAVE, **native(app_name="A")}, {**OTHER_SAVE, **native(app_name="B")}, "app name: A → B", kind="attention"
    ),
    "a build in the field is hurt": changed(
        native(app_name="A"), native(app_name="B"), "app name: A → B", builds=("1.0.0",)
    ),
    # --- needs none ---
    "icon renamed": Row(native(icon="img/a.png"), {**native(icon="img/c.png"), "img/c.png": b"a"}, "seamless"),
    "a colour in small letters": Row(native(primary_color="#FFFFFF"), native(primary_color="#ffffff"), "seamless"),
    "configuration in another order": Row(
        native(platforms={"ios": {"a": 1, "b": [2]}}), native(platforms={"ios": {"b": [2], "a": 1}}), "seamless"
    ),
    "files that native.json does not name": Row(native(), {**native(), "img/a.png": b"z"}, "seamless"),
    "no build in the field lacks anything": Row(
        native(app_name="A"), native(app_name="B"), "seamless", new_build=("app name: A → B",), builds=("2.0.0",)
    ),
    "a build that was outdated before": Row(
        native(app_name="B"), {**native(app_name="B"), "a": b"1"}, "seamless", builds=("0.9.0",), hurt=("0.9.0",)
    ),
    # --- store-only ---
    "store-only, compatible": store_only(SAVE, MORE, "seamless", native="1.0.0", builds=("1.0.0",)),
    "store-only, an action changed under a build": store_only(
        SAVE, OTHER_SAVE, "attention", native="1.0.0", builds=("1.0.0",), confirm=(INCOMPATIBLE,)
    ),
    "store-only, changed long ago, and a build still calls it": store_only(
        OTHER_SAVE, {**OTHER_SAVE, "a": b"1"}, "seamless", native="0.9.0", builds=("0.9.0",),
        confirm=(INCOMPATIBLE,),
    ),
    "store-only, no build calls it any more": store_only(
        MORE, SAVE, "attention", native="2.0.0", builds=("2.0.0",)
    ),
    "store-only, no build recorded: the present release counts": store_only(
        SAVE, OTHER_SAVE, "attention", native=None, confirm=(INCOMPATIBLE,)
    ),
    "store-only, no build recorded, compatible": store_only(SAVE, MORE, "seamless", native=None),
    "store-only clients get new builds from the store": store_only(
        native(app_name="A"), native(app_name="B"), "seamless", new_build=("app name",), native="1.0.0",
        builds=("1.0.0",),
    ),
    "store-only, no build recorded, and a new one from the store": store_only(
        native(app_name="A"), native(app_name="B"), "seamless", new_build=("app name",), native=None
    ),
    "store-only, a first release": store_only(None, SAVE, "first", native=None),
    "store-only, builds of two releases: nobody knows which one asks": store_only(
        SAVE, MORE, "seamless", native=None, builds=("0.9.0", "1.0.0")
    ),
    "hybrid clients are updated, so they call what is new": Row(SAVE, OTHER_SAVE, "attention", builds=("1.0.0",)),
}  # fmt: skip

AT_ONCE = Schedule()
EVERYTHING = Consent({}, outdated=True, incompatible=True)


class Field:
    """A fleet whose app has releases 0.9.0 (the oldest build's: an app called Old that saves in the first way), 1.0.0
    (`before`) and 2.0.0 (`after`), and serves 1.0.0.
    """

    def __init__(self, directory: Path, row: Row) -> None:
        self.world = World.at(directory)
        document = fleet(("ToDo",)).model_dump(mode="json")
        document["apps"][0]["distribution"] = row.distribution
        self.fleet = Fleet.model_validate(document)
        entry = {"index.html": b"<html>"}
        self.world.releases("ToDo", "0.9.0", {**entry, **SAVE, **native(app_name="Old")})
        self.world.releases("ToDo", "2.0.0", {**entry, **row.after})
        if row.before is not None:
            self.world.releases("ToDo", "1.0.0", {**entry, **row.before})
            self.world.commit(self.deploy("1.0.0", EVERYTHING))
        for version in row.builds:
            self.add_build(version)

    def add_build(self, version: str) -> None:
        self.world.builds.add_build(Build("Production", "ToDo", f"b{version}", version, "android", "ann", NOW))

    def deploy(self, version: str, consent: Consent = NO_CONSENT) -> Deployment:
        return self.world.deploying.deploy(self.fleet, {"ToDo": version}, AT_ONCE, "ann", consent)

    def told(self, made: Deployment, *, native: bool) -> str | None:
        """The version that a version check is told which names none, by what the activation holds."""
        placements = made.plan.placements
        releases = {digest: described(self.world.artifacts, digest) for digest in digests(placements)}
        held = layout(made.activation, releases)
        # The recipe's rule: docs/serving.md, "Native clients of store-only apps".
        folder = "-/ToDo/native/" if native and "-/ToDo/native/store-only" in held.activation.files else "-/ToDo/"
        sha256 = held.activation.files.get(f"{folder}moduleversioninfo.json")
        if sha256 is None:
            return None
        name = json.loads(held.generated[sha256])["versionToken"]
        records = self.world.ledger.releases("ToDo")
        return next(r.version for r in records if token(Placement("ToDo", "/ToDo/", "", r.digest)) == name)

    def plan(self, version: str) -> Any:
        (update,) = self.world.deploying.plan(self.fleet, {"ToDo": version}, AT_ONCE, "ann").updates or (None,)
        return None if update is None else update.document()


@pytest.fixture
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Field:
    return Field(tmp_path, request.param)


def said(reasons: Any) -> list[str]:
    return [f"{r['rule']}{r['of'] and ' '}{r['of']}: {r['how']}" for r in reasons]


def begin_with(found: list[str], expected: tuple[str, ...]) -> bool:
    return len(found) == len(expected) and all(a.startswith(b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("field", "row"), [(row, row) for row in ROWS.values()], ids=ROWS, indirect=["field"])
def test_what_an_update_is_and_what_has_to_be_confirmed(field: Field, row: Row) -> None:
    document = field.plan("2.0.0")
    if row.kind == "none":
        assert document is None
        assert field.deploy("2.0.0").updates == {}
        return
    assert document["kind"] == row.kind
    assert document["distribution"] == row.distribution
    if row.because:
        assert begin_with(said(document["over_the_air"]), row.because), document["over_the_air"]
    assert begin_with(said(document.get("new_build", ())), row.new_build), document.get("new_build")
    assert document["confirm"] == list(row.confirm)
    assert [hurt["version"] for hurt in document["outdated"]] == list(row.hurt)
    for consent in (NO_CONSENT, *without(row.confirm)):
        if row.confirm:
            with pytest.raises(ConflictError) as caught:
                field.deploy("2.0.0", consent)
            assert all(build in str(caught.value) for build in row.hurt)
            assert caught.value.problem.remedy
            assert field.world.ledger.open_deployment("Production/web") is None
    made = field.deploy("2.0.0", consent_to(row.confirm))
    assert made.updates == {"ToDo": document}
    assert field.world.ledger.deployment(made.id) == made
    assert field.told(made, native=False) == "2.0.0"
    assert field.told(made, native=True) == row.native


def consent_to(confirm: tuple[str, ...]) -> Consent:
    return Consent({}, outdated=NEW_BUILD in confirm, incompatible=INCOMPATIBLE in confirm)


def without(confirm: tuple[str, ...]) -> list[Consent]:
    """Everything but what is asked for."""
    return [Consent({}, outdated=NEW_BUILD not in confirm, incompatible=INCOMPATIBLE not in confirm)]


NEEDS = ROWS["app name"]


@pytest.mark.parametrize("name", ["ToDo", ""])
@pytest.mark.parametrize("field", [NEEDS], indirect=True, ids=["app name"])
def test_a_new_build_that_is_named_is_recorded_as_made_of_the_new_release(field: Field, name: str) -> None:
    made = field.deploy("2.0.0", Consent({name: "b7"}))
    (build,) = field.world.builds.builds("Production", "ToDo")
    assert (build.id, build.version, build.actor) == ("b7", "2.0.0", "ann")
    assert field.world.messages.coordinated[-1] == made.id


@pytest.mark.parametrize("field", [NEEDS], indirect=True, ids=["app name"])
def test_a_new_build_of_another_app_or_under_a_taken_id_is_refused_and_nothing_planned(field: Field) -> None:
    field.add_build("0.9.0")
    before = field.world.messages.coordinated.copy()
    for consent, error in (
        (Consent({"Portal": "b7"}), UsageError),
        (Consent({"ToDo": "b0.9.0"}), ConflictError),
        (Consent({"": "no build!"}), UsageError),
    ):
        with pytest.raises(error):
            field.deploy("2.0.0", consent)
    assert field.world.messages.coordinated == before
    assert field.world.ledger.open_deployment("Production/web") is None


@pytest.mark.parametrize("field", [NEEDS], indirect=True, ids=["app name"])
def test_a_rollback_is_judged_like_any_other_move(field: Field) -> None:
    field.world.commit(field.deploy("2.0.0", EVERYTHING))
    with pytest.raises(ConflictError, match="needs a new build"):
        field.world.deploying.rollback(field.fleet, None, AT_ONCE, "ann")
    field.add_build("1.0.0")
    made = field.world.deploying.rollback(field.fleet, None, AT_ONCE, "ann")
    assert made.updates["ToDo"]["outdated"] == []


@pytest.mark.parametrize("field", [NEEDS], indirect=True, ids=["app name"])
def test_a_retired_build_hurts_nobody(field: Field) -> None:
    field.add_build("1.0.0")
    field.add_build("2.0.0")
    assert [hurt["build"] for hurt in field.plan("2.0.0")["outdated"]] == ["b1.0.0"]
    field.world.builds.retire_build("Production", "ToDo", "b1.0.0")
    assert field.plan("2.0.0")["outdated"] == []
    assert field.deploy("2.0.0").updates["ToDo"]["builds"] == 1


STORE_ONLY = ROWS["store-only, compatible"]


@pytest.mark.parametrize("field", [STORE_ONLY], indirect=True, ids=["store-only"])
def test_a_store_only_app_is_placed_with_the_releases_of_its_builds(field: Field) -> None:
    field.add_build("0.9.0")
    digests = {v: r.digest for v in ("0.9.0", "1.0.0") if (r := field.world.ledger.release("ToDo", v)) is not None}
    made = field.deploy("2.0.0", EVERYTHING)
    (placement,) = made.plan.placements
    assert placement.builds == tuple(sorted(digests.values()))
    read = field.world.ledger.deployment(made.id)
    assert read is not None
    assert read.plan.placements == made.plan.placements


@pytest.mark.parametrize("field", [STORE_ONLY], indirect=True, ids=["store-only"])
def test_builds_that_come_and_go_are_no_earlier_activation_to_roll_back_to(field: Field) -> None:
    field.world.commit(field.deploy("2.0.0"))
    field.add_build("0.9.0")
    field.world.commit(field.deploy("2.0.0", EVERYTHING))
    made = field.world.deploying.rollback(field.fleet, None, AT_ONCE, "ann", EVERYTHING)
    (placement,) = made.plan.placements
    assert placement.version == "1.0.0"
    assert placement.builds is not None
    assert len(placement.builds) == 2
