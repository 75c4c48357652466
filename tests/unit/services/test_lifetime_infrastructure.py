"""What there is in LifeTime's words, on a real ledger: what is active where, and who sees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.domain.access import Grant, Principal, Role
from orchestrator.domain.deployment import State
from orchestrator.domain.errors import ForbiddenError
from orchestrator.domain.lifetime import keys
from orchestrator.domain.lifetime.plan import ImpossibleError, UnknownKeyError
from orchestrator.services.deployments import Schedule
from tests.unit.services.lifetimes import DEVELOPMENT, PRODUCTION, LifetimeWorld, fleet_of


@pytest.fixture
def lifetime(tmp_path: Path) -> LifetimeWorld:
    return LifetimeWorld.at(tmp_path)


def test_active_is_what_was_committed_last(lifetime: LifetimeWorld) -> None:
    (environment,) = (each for each in lifetime.inventory.environments if each.name == "Production")
    assert lifetime.here().active("ToDo", environment) is None
    lifetime.serves(PRODUCTION, ToDo="1.0.0")
    aborted = lifetime.world.deploying.deploy(PRODUCTION, {"ToDo": "2.0.0"}, Schedule(), "ann")
    # What is under way is not active, nor is what was aborted.
    for _ in range(2):
        active = lifetime.here().running("ToDo", environment)
        assert (active.version, active.fleet, active.differing) == ("1.0.0", "Production/web", "")
        lifetime.world.deploying.abort(aborted.id, "ann")
        lifetime.world.ledger.move(aborted.id, State.ABORTING, State.ABORTED)
    with pytest.raises(UnknownKeyError):
        lifetime.here().running("Portal", environment)
    assert [each["Name"] for each in lifetime.here().environment_applications(environment, with_status=True)] == [
        "ToDo"
    ]


def test_an_app_that_left_the_fleet_is_not_active_there(lifetime: LifetimeWorld) -> None:
    lifetime.serves(PRODUCTION, ToDo="1.0.0", Portal="1.0.0")
    fleets = (DEVELOPMENT, fleet_of("Production", apps=("ToDo",)))
    lifetime.inventory = lifetime.inventory.model_copy(update={"fleets": fleets})
    assert lifetime.here().active("Portal", lifetime.inventory.environments[1]) is None


def test_zones_that_differ_are_a_modification_that_is_explained(lifetime: LifetimeWorld) -> None:
    east = fleet_of("Production", "east")
    fleets = (DEVELOPMENT, east, PRODUCTION)
    lifetime.inventory = lifetime.inventory.model_copy(update={"fleets": fleets})
    lifetime.serves(PRODUCTION, ToDo="2.0.0")
    (status,) = lifetime.here().application_document("ToDo", with_status=True)["AppStatusInEnvs"]
    # Only one zone serves it: nothing differs.
    assert (status["IsModified"], status["DeploymentZoneKey"]) == (False, keys.zone_key("Production/web"))
    lifetime.serves(east, ToDo="1.0.0")
    (status,) = lifetime.here().application_document("ToDo", with_status=True)["AppStatusInEnvs"]
    assert (status["IsModified"], status["IsModifiedReason"]) == (True, "Zones_Differ")
    assert status["IsModifiedMessage"] == "east serves 1.0.0; web serves 2.0.0"
    assert status["BaseApplicationVersionKey"] == keys.version_key("ToDo", "1.0.0")
    assert status["DeploymentZoneKey"] == keys.zone_key("Production/east")
    lifetime.serves(east, ToDo="2.0.0")
    (status,) = lifetime.here().application_document("ToDo", with_status=True)["AppStatusInEnvs"]
    assert not status["IsModified"]


def test_what_may_not_be_read_is_not_there_or_forbidden(lifetime: LifetimeWorld) -> None:
    lifetime.serves(PRODUCTION, ToDo="1.0.0")
    lifetime.serves(DEVELOPMENT, ToDo="2.0.0")
    here = lifetime.here(Principal("eve#1", (Grant(Role.VIEWER, "Development"),)))
    assert [each["Name"] for each in here.application_documents(with_status=True)] == ["Portal", "ToDo"]
    (status,) = here.application_document("ToDo", with_status=True)["AppStatusInEnvs"]
    assert status["EnvironmentKey"] == keys.environment_key("Development")
    assert not here.version_document(here.version("ToDo", keys.version_key("ToDo", "1.0.0")))["InUse"]
    assert here.version_document(here.version("ToDo", keys.version_key("ToDo", "2.0.0")))["InUse"]
    with pytest.raises(ForbiddenError, match="in Production"):
        here.environment(keys.environment_key("Production"))
    with pytest.raises(ForbiddenError, match="in Production"):
        here.application(keys.application_key("Shop"))
    with pytest.raises(UnknownKeyError):
        here.application(keys.application_key("Gone"))


def test_a_tag_is_the_version_that_is_active(lifetime: LifetimeWorld) -> None:
    lifetime.serves(PRODUCTION, ToDo="1.0.0")
    environment = lifetime.inventory.environments[1]
    assert lifetime.here().tag("ToDo", environment, "1.0.0") == keys.version_key("ToDo", "1.0.0")
    with pytest.raises(ImpossibleError, match="can't be tagged"):
        lifetime.here().tag("ToDo", environment, "2.0.0")
    with pytest.raises(UnknownKeyError):
        lifetime.here().tag("Portal", environment, "1.0.0")


def test_an_environment_without_fleets_has_no_frontends(lifetime: LifetimeWorld) -> None:
    bare = replace(lifetime, inventory=lifetime.inventory.model_copy(update={"fleets": ()}))
    first, _ = bare.here().environment_documents()
    assert (first["HostName"], first["NumberOfFrontEnds"], first["UseHTTPS"]) == ("", 0, False)
    assert bare.here().application_documents(with_status=False) == []
