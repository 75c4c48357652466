"""Sites held against each other: groups are those that hold the same, and every difference is told."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.adoption.comparison import MOST_DIFFERENCES, compare
from orchestrator.domain.adoption.site import Held, Site
from orchestrator.domain.release import Content, File, Manifest

SHAS = [f"{n:064x}" for n in range(3)]
FILES = st.dictionaries(st.sampled_from("abcdef"), st.builds(Held, st.just(1), st.sampled_from(SHAS)), max_size=4)
SITES = st.dictionaries(st.sampled_from(["fe1", "fe2", "fe3", "fe4"]), FILES.map(lambda f: Site("/srv", f)), min_size=1)


def held(sites: Mapping[str, Site], name: str, path: str) -> str:
    found = sites[name].files.get(path)
    return "" if found is None else found.sha256


@given(SITES)
def test_two_frontends_are_in_one_group_where_they_hold_the_same_and_only_there(sites: Mapping[str, Site]) -> None:
    group_of = {name: group for group in compare(sites).groups for name in group.frontends}
    assert group_of.keys() == sites.keys()
    for one in sites:
        for other in sites:
            assert (group_of[one] == group_of[other]) == (sites[one].files == sites[other].files)


@given(SITES)
def test_the_files_that_are_told_are_those_that_are_not_the_same_everywhere(sites: Mapping[str, Site]) -> None:
    comparison = compare(sites)
    paths = {path for site in sites.values() for path in site.files}
    expected = sorted(path for path in paths if len({held(sites, name, path) for name in sites}) > 1)
    assert [each.path for each in comparison.differences] == expected
    assert comparison.count == len(expected)
    assert comparison.equal == (not expected)
    for each in comparison.differences:
        assert {name: sha for sha, names in each.held.items() for name in names} == {
            name: held(sites, name, each.path) for name in sites
        }


@given(SITES)
def test_the_largest_group_comes_first(sites: Mapping[str, Site]) -> None:
    sizes = [len(group.frontends) for group in compare(sites).groups]
    assert sizes == sorted(sizes, reverse=True)


def test_the_first_differences_are_told_and_the_others_counted() -> None:
    many = {f"{n:03}": Held(1, SHAS[0]) for n in range(MOST_DIFFERENCES + 7)}
    comparison = compare({"fe1": Site("/srv", many), "fe2": Site("/srv", {})})
    assert [each.path for each in comparison.differences] == sorted(many)[:MOST_DIFFERENCES]
    assert comparison.count == MOST_DIFFERENCES + 7


def test_nobody_is_not_everybody_alike() -> None:
    assert not compare({}).equal


@given(FILES)
def test_a_release_of_the_same_files_has_the_site_s_digest(files: Mapping[str, Held]) -> None:
    content = {path: Content(each.size, each.sha256, "A" * 22) for path, each in files.items()}
    manifest = Manifest.of(File(path, c.size, c.sha256, c.ota) for path, c in content.items())
    assert Site.of(manifest).digest == Site("/srv", files).digest
