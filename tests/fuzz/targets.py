"""All targets by name."""

from __future__ import annotations

from typing import Any

from tests.fuzz.answers import Answers
from tests.fuzz.haproxy import Haproxies
from tests.fuzz.hooks import Hooks
from tests.fuzz.http import Http
from tests.fuzz.inventories import Inventories
from tests.fuzz.looks import LookAnswers
from tests.fuzz.manifests import Manifests
from tests.fuzz.names import Names
from tests.fuzz.packs import Packs
from tests.fuzz.rules import Rules
from tests.fuzz.target import Target
from tests.fuzz.tars import Tars
from tests.fuzz.versions import Versions
from tests.fuzz.words import Words
from tests.fuzz.zips import Zips

TARGETS: dict[str, type[Target[Any]]] = {
    each.name: each
    for each in (
        Names,
        Manifests,
        Inventories,
        Tars,
        Zips,
        Answers,
        LookAnswers,
        Versions,
        Http,
        Hooks,
        Haproxies,
        Words,
        Rules,
        Packs,
    )
}
