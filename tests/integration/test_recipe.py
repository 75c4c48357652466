from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from deploy.nginx import recipe
from deploy.nginx.recipe import SEGMENT, render, render_again
from inventory import model
from inventory.names import MOUNT

ROOT = "/srv/lockstep"


def test_every_value_reaches_its_place_and_no_placeholder_is_left() -> None:
    text = render(root=ROOT, listen=["10.0.0.11:8080", "[::1]:8080 default_server"], server_name="apps.example.org")

    assert "\n    listen 10.0.0.11:8080;\n    listen [::1]:8080 default_server;\n" in text
    assert "\n    server_name apps.example.org;\n" in text
    assert f"\n    root {ROOT}/current;\n" in text
    assert re.findall(r"@[A-Z_]+@", text) == []


def test_the_pin_is_looked_at_before_current() -> None:
    # A flip renames `current`, then removes the marker: the other order could miss both. No test can force that race.
    text = render(root=ROOT, listen=["8080"])
    server = text[text.index("\nserver {") :]

    assert server.index("$lockstep_place/$lockstep_pin") < server.index("$lockstep_current")
    assert server.count("$lockstep_current") == 1


def test_maps_hold_nothing_of_one_frontend_so_that_two_recipes_can_stand_side_by_side() -> None:
    one, other = render(root="/srv/one", listen=["8080"]), render(root="/srv/two", listen=["8081"], server_name="b")

    # But the first line, a comment.
    assert one[one.index("\n") : one.index("\nserver {")] == other[other.index("\n") : other.index("\nserver {")]


def test_a_recipe_tells_its_options_from_which_it_is_rendered_again() -> None:
    text = render(root=ROOT, listen=["10.0.0.11:8080", "[::1]:8080 default_server"], server_name="apps.example.org")
    first = text.split("\n")[0]
    options = first.removeprefix("# lockstep-recipe ")

    assert options == '{"listen":["10.0.0.11:8080","[::1]:8080 default_server"],"server_name":"apps.example.org"}'
    assert render_again(options, root=ROOT) == text
    assert render_again(options, root="/srv/other") != text


@pytest.mark.parametrize(
    "options",
    [
        "", "-", "null", "[]", "{}", '"x"', "[" * 2000, '{"listen":["80"]}', '{"listen":"80","server_name":"_"}',
        '{"listen":null,"server_name":"_"}',
        '{"listen":[],"server_name":"_"}', '{"listen":[80],"server_name":"_"}', '{"listen":[["80"]],"server_name":"_"}',
        '{"listen":["80"],"server_name":null}', '{"listen":["80"],"server_name":"_","root":"/"}',
        '{"listen":["80;"],"server_name":"_"}', '{"listen":["80"],"server_name":"a;b"}',
        '{"listen":["80","80"],"server_name":"_"}', '{"listen":["8\\u00b2"],"server_name":"_"}',
    ],
)  # fmt: skip
def test_options_that_nobody_can_have_given_are_refused(options: str) -> None:
    with pytest.raises(ValueError, match=r"expected|same|Expecting|brackets"):
        render_again(options, root=ROOT)


def test_segments_and_roots_are_those_that_an_inventory_allows() -> None:
    assert f"/(?:{SEGMENT}/)?" == MOUNT.pattern
    assert recipe.ROOT.pattern == model.ROOT.pattern


@pytest.mark.parametrize(
    "root", ["/", "", "srv", "/srv/", "/srv//a", "/srv/../a", "/.a", "/a b", "/a;", "/a$b", "/é", "/a\n"]
)
def test_a_root_of_another_form_is_refused(root: str) -> None:
    with pytest.raises(ValueError, match=r"^root: expected"):
        render(root=root, listen=["8080"])


@pytest.mark.parametrize(
    "listen",
    [
        ["80"], ["65535"], ["*:80"], ["127.0.0.1:80"], ["[::]:80"], ["[fe80::1]:80 ssl"], ["80 default_server ssl"],
        ["80", "81"],
    ],
)  # fmt: skip
def test_addresses_that_nginx_takes_are_taken(listen: Sequence[str]) -> None:
    text = render(root=ROOT, listen=listen)

    assert [line.strip() for line in text.splitlines() if "    listen " in line] == [f"listen {a};" for a in listen]


@pytest.mark.parametrize(
    "listen",
    [
        [], "8080", [""], ["0"], ["65536"], ["80;"], ["80\n"], ["80 "], ["80 reuseport"], ["80 ssl ssl"],
        ["localhost:80"], ["1.2.3:80"], ["1.2.3.256:80"], ["::1:80"], ["[1.2.3.4]:80"], ["[::g]:80"], ["unix:/x"],
        ["٣"], ["80", "80"],
    ],
)  # fmt: skip
def test_addresses_of_another_form_are_refused(listen: Sequence[str]) -> None:
    with pytest.raises(ValueError, match=r"^listen: "):
        render(root=ROOT, listen=listen)


@pytest.mark.parametrize("name", ["", "a b", "a;", "-a", "a-", "a.", "*.a", "~x", "a\n", "$host", "_a", "a" * 254, "é"])
def test_a_server_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^server_name: expected"):
        render(root=ROOT, listen=["8080"], server_name=name)
