"""When a fleet's site may be taken: what the service makes of what workers bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestrator.domain.adoption.errand import Errand, Silence, Taken, how_reached
from orchestrator.domain.adoption.site import Held, Site, Where
from orchestrator.domain.errors import (
    ConflictError,
    LockstepError,
    Problem,
    RefusedError,
    ReleaseError,
    UnansweredError,
    UsageError,
)
from orchestrator.services.adoption import Adopting, Survey, check_alike, check_app
from orchestrator.services.releases import ReleaseName, Releasing
from tests.unit.services.fleets import World, fleet

FLEET = fleet(frontends=2)
WHERE = Where(path="/srv/www")
NAME = ReleaseName("ToDo", "1.0.0")
ONE = Site("/srv/www", {"index.html": Held(1, "a" * 64)})
OTHER = Site("/srv/www", {"index.html": Held(1, "b" * 64)})
TAKEN = Taken("c" * 64, True, 1, 1)


@dataclass
class Sent:
    """Workers who bring what the test wants, and the errands that they were sent for."""

    brings: Mapping[str, Site | Taken | Problem]
    errands: list[Errand] = field(default_factory=list)

    def send(
        self, errands: Sequence[Errand], seconds: float, heard: object = None
    ) -> Mapping[str, Site | Taken | Problem]:
        self.errands += errands
        return {errand.frontend: self.brings[errand.frontend] for errand in errands}

    def put(self, errand: Errand, brought: Site | Taken | Problem) -> None:
        raise AssertionError("only workers put")


def adopting(tmp_path: Path, sent: Sent) -> Adopting:
    world = World.at(tmp_path)
    return Adopting(Releasing(world.ledger, world.artifacts, world.clock), lambda: sent)


def seen(tmp_path: Path, one: Site | Problem, two: Site | Problem) -> Survey:
    return adopting(tmp_path, Sent({"fe1": one, "fe2": two})).look(FLEET, WHERE, 9, lambda _: None, None)


def test_sites_that_are_the_same_are_equal_and_may_be_taken(tmp_path: Path) -> None:
    survey = seen(tmp_path, ONE, ONE)
    assert survey.equal
    check_alike(survey)


@pytest.mark.parametrize(
    "two", [OTHER, Problem("no"), replace(ONE, odd={"pipe": "odd"})], ids=["other", "unseen", "odd"]
)
def test_sites_that_are_not_known_to_be_the_same_are_not_taken(tmp_path: Path, two: Site | Problem) -> None:
    survey = seen(tmp_path, ONE, two)
    assert not survey.equal
    with pytest.raises(ConflictError):
        check_alike(survey)


def test_a_release_is_held_against_the_sites_as_one_of_them(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    manifest = world.release("ToDo", "1.0.0")
    adopt = Adopting(
        Releasing(world.ledger, world.artifacts, world.clock),
        lambda: Sent({"fe1": Site.of(manifest), "fe2": OTHER}),
    )
    survey = adopt.look(FLEET, WHERE, 9, lambda _: None, NAME)
    assert [group.frontends for group in survey.comparison.groups] == [("fe1", "ToDo 1.0.0"), ("fe2",)]
    with pytest.raises(UsageError):
        adopt.look(FLEET, WHERE, 9, lambda _: None, ReleaseName("ToDo", "9.0.0"))


def test_a_taking_says_what_was_seen_and_how_the_frontend_is_reached(tmp_path: Path) -> None:
    sent = Sent({"fe1": TAKEN})
    survey = seen(tmp_path, ONE, ONE)
    assert adopting(tmp_path, sent).take(FLEET, survey, "fe1", NAME, "ann", 9) == TAKEN
    (errand,) = sent.errands
    assert errand.taking is not None
    assert (errand.taking.app, errand.taking.version, errand.taking.digest) == ("ToDo", "1.0.0", ONE.digest)
    assert errand.reached == how_reached(FLEET.frontends[0])


@pytest.mark.parametrize(
    ("brought", "error"),
    [(Problem("no"), RefusedError), (Silence("nobody"), UnansweredError), (ONE, UnansweredError)],
    ids=["refused", "silence", "something else"],
)
def test_a_taking_that_nobody_confirms_is_no_success(
    tmp_path: Path, brought: Site | Problem, error: type[LockstepError]
) -> None:
    survey = seen(tmp_path, ONE, ONE)
    with pytest.raises(error):
        adopting(tmp_path, Sent({"fe1": brought})).take(FLEET, survey, "fe1", NAME, "ann", 9)


@pytest.mark.parametrize(
    ("site", "error"),
    [
        (Site("/srv", ONE.files, {}, {"pipe": "odd"}), ReleaseError),
        (Site("/srv", {}), ReleaseError),
        (Problem("no"), RefusedError),
    ],
    ids=["odd", "empty", "unseen"],
)
def test_what_can_t_be_a_release_is_not_taken(tmp_path: Path, site: Site | Problem, error: type[LockstepError]) -> None:
    survey = seen(tmp_path, site, ONE)
    sent = Sent({})
    with pytest.raises(error):
        adopting(tmp_path, sent).take(FLEET, survey, "fe1", NAME, "ann", 9)
    assert sent.errands == []


def test_a_frontend_or_an_app_that_the_fleet_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        adopting(tmp_path, Sent({})).take(FLEET, seen(tmp_path, ONE, ONE), "fe9", NAME, "ann", 9)
    with pytest.raises(UsageError):
        check_app(FLEET, "Other")
