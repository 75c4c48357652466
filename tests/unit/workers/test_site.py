"""The listing of a site on the wire: nothing but an exact answer counts, whoever gives it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.adoption.site import Held
from orchestrator.domain.adoption.walk import Led, Listing
from orchestrator.domain.errors import RefusedError, UnansweredError
from workers.frontend.commands import shell_line
from workers.frontend.site import ODD, UNREADABLE, FetchSite, ListSite

ONE, TWO = "1" * 64, "2" * 64
COMMAND = ListSite("/var/www/it's", (".git", "/a b"))
LINES = (
    "top /var/www/releases/1",
    "odd dangling ./x",
    f"link 7 {TWO} /var/www/shared/a\tb\t./file link".replace("a\tb", "a b"),
    "link 7 - /var/www/shared/closed\t./closed link",
    "tree /var/www/shared\t./images",
    "size 5 ./index  ü.html",
    "size 6 ./gone",
    f"{ONE}  ./index  ü.html",
    f"{TWO} *./came",
    "end",
)
SEEN = Listing(
    "/var/www/releases/1",
    {"index  ü.html": Held(5, ONE)},
    {"file link": Led("/var/www/shared/a b", Held(7, TWO)), "images": Led("/var/www/shared", None)},
    {"x": ODD["dangling"], "closed link": UNREADABLE, "gone": UNREADABLE, "came": UNREADABLE},
)


def said(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def test_paths_and_patterns_are_parameters_of_a_program_that_is_always_the_same() -> None:
    argv = COMMAND.argv()
    assert argv[:2] == ("sh", "-c")
    assert argv[2] == ListSite("/", ()).argv()[2]
    assert argv[4:] == ("/var/www/it's", "-name", ".git", "-prune", "-o", "-path", "./a b", "-prune", "-o")
    assert shell_line(FetchSite("/it's").argv()).endswith("""lockstep-adopt '/it'"'"'s'""")


def test_an_answer_is_read_line_by_line() -> None:
    assert COMMAND.parse(said(*LINES), 0) == SEEN


@pytest.mark.parametrize(
    "line",
    [
        "",
        "end",
        "size 5 index.html",
        "size -1 ./a",
        f"{ONE} ./a",
        "link 1 x /a\t./b",
        "tree a\t./b",
        "odd new ./a",
        "top /",
    ],
)
def test_a_line_of_another_form_makes_it_no_answer(line: str) -> None:
    with pytest.raises(UnansweredError):
        COMMAND.parse(said(LINES[0], line, *LINES[1:]), 0)


@pytest.mark.parametrize("line", [each for each in LINES if not each.startswith(("odd", "top", "end", "link 7 -"))])
def test_a_path_that_comes_twice_makes_it_no_answer(line: str) -> None:
    with pytest.raises(UnansweredError):
        COMMAND.parse(said(*LINES[:-1], line, "end"), 0)


@pytest.mark.parametrize(("word", "what"), [("absent", "no such directory"), ("locked", "may not enter")])
def test_a_directory_that_can_t_be_listed_is_refused(word: str, what: str) -> None:
    with pytest.raises(RefusedError, match=what):
        COMMAND.parse(said(word), 0)
    with pytest.raises(UnansweredError):
        COMMAND.parse(said(word), 1)


@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=30)), max_size=8), st.sampled_from([0, 1, None]))
def test_whatever_comes_is_a_listing_or_no_answer(lines: list[str], status: int | None) -> None:
    body = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    try:
        listing = COMMAND.parse(body, status)
    except UnansweredError:
        return
    assert status == 0
    assert lines[-1] == "end"
    assert f"top {listing.top}" == lines[0]
