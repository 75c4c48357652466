from __future__ import annotations

import pytest

from inventory import loader
from inventory.model import Inventory
from inventory.selection import SelectionError, select
from tests.unit.inventory.documents import VALID

ALL = ("Development/web", "Production/landing", "Production/web")


@pytest.fixture
def inventory() -> Inventory:
    return loader.parse(VALID, "inventory.yml")


@pytest.mark.parametrize(
    ("text", "key"),
    [("Production/web", "Production/web"), ("Development/web", "Development/web"), ("landing", "Production/landing")],
)
def test_a_fleet_is_named_in_full_or_by_a_name_that_only_it_has(inventory: Inventory, text: str, key: str) -> None:
    assert select(inventory, text).key == key


def test_a_name_that_several_environments_have_lists_these(inventory: Inventory) -> None:
    with pytest.raises(SelectionError) as caught:
        select(inventory, "web")
    assert caught.value.candidates == ("Development/web", "Production/web")
    assert str(caught.value) == "'web' is a fleet of 2 environments (Development/web, Production/web)"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("Production/wbe", "Production/web"),
        ("production/web", "Production/web"),
        ("Landign", "Production/landing"),
        ("LANDING", "Production/landing"),
        ("Staging/xyz", ""),
        ("", ""),
    ],
)
def test_an_unknown_name_lists_all_fleets_and_suggests_the_nearest(
    inventory: Inventory, text: str, nearest: str
) -> None:
    with pytest.raises(SelectionError) as caught:
        select(inventory, text)
    assert (caught.value.candidates, caught.value.nearest) == (ALL, nearest)


def test_an_inventory_without_fleets_says_so() -> None:
    with pytest.raises(SelectionError, match=r"no fleet is named 'web' \(the inventory has no fleets\)"):
        select(Inventory(fleets=()), "web")


def test_what_was_asked_for_is_repeated_short_and_printable(inventory: Inventory) -> None:
    with pytest.raises(SelectionError) as caught:
        select(inventory, "\x1b[2J" + "x" * 500)
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 120
