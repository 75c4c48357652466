"""All targets by name."""

from __future__ import annotations

from typing import Any

from tests.fuzz.archives import Tars, Zips
from tests.fuzz.inventories import Inventories
from tests.fuzz.manifests import Manifests
from tests.fuzz.target import Target

TARGETS: dict[str, type[Target[Any]]] = {
    each.name: each
    for each in (
        Manifests,
        Inventories,
        Tars,
        Zips,
    )
}
