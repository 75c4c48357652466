"""Each kind of difference, planted alone, is exactly one finding, with its words."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from orchestrator.domain.audit.disk import MOST_FINDINGS
from orchestrator.domain.audit.drift import drift
from orchestrator.domain.audit.expectation import INDEX, PLACE, Expectation
from orchestrator.domain.audit.finding import Finding, Kind, Seriousness, order
from orchestrator.domain.audit.observation import Answer, Balancer, Observation, Seen
from tests.unit.domain.audit import world as w

CLIENTS, MAY, UNTIDY = Seriousness
ELSEWHERE = "8-" + "8" * 16


class Row(NamedTuple):
    """What was planted, and the one finding that comes of it."""

    seen: Seen
    kind: Kind
    path: str
    expected: str
    found: str
    seriousness: Seriousness
    frontend: str = "f1"
    expectation: Expectation = w.EXPECTED


def tree_without(path: str, line: str, *instead: str) -> Seen:
    assert line in w.TREES[path]
    return w.with_tree(path, *(one for one in w.TREES[path] if one != line), *instead)


APP = f"f 0444 {w.APP_JS} js/app ü.js"
LINK = f"l ../../{w.RELEASE}\ta b"
HASH_LINK = f"l ../objects/{w.APP_JS}\t{w.OTA}"
FILE, LOGO = (f"a file of SHA-256 {sha}" for sha in (w.APP_JS, w.LOGO))
DOWN = Answer(failure="connection refused")
NOT_NAMED = replace(w.answered(w.FILE), activation="")

STATES = [
    Row(
        w.with_state(replace(w.STATE, current=str(w.BEFORE))),
        Kind.CURRENT_ELSEWHERE,
        "current",
        str(w.NAME),
        str(w.BEFORE),
        CLIENTS,
    ),
    Row(
        w.with_state(replace(w.STATE, current="")),
        Kind.CURRENT_MISSING,
        "current",
        str(w.NAME),
        "no activation",
        CLIENTS,
    ),
    Row(
        w.with_state(replace(w.STATE, current="0-" + "0" * 16)),
        Kind.CURRENT_MISSING,
        "current",
        str(w.NAME),
        "no activation",
        CLIENTS,
    ),
    Row(w.with_state(replace(w.STATE, fence=6)), Kind.FENCE_BEHIND, "state/fence", "epoch 7 or later", "epoch 6", MAY),
    Row(
        w.with_state(replace(w.STATE, fence=None)),
        Kind.FENCE_BEHIND,
        "state/fence",
        "epoch 7 or later",
        "no fence",
        MAY,
    ),
    Row(
        w.with_state(replace(w.STATE, fence=10)), Kind.FENCE_AHEAD, "state/fence", "epoch 9 or earlier", "epoch 10", MAY
    ),
    Row(
        w.with_state(replace(w.STATE, releases=w.STATE.releases - {f"ToDo/{w.NEW}"})),
        Kind.RELEASE_MISSING,
        w.RELEASE,
        "a directory",
        "nothing",
        CLIENTS,
    ),
    Row(
        w.with_state(replace(w.STATE, releases=w.STATE.releases - {f"ToDo/{w.OLD}"})),
        Kind.RELEASE_MISSING,
        w.OLD_RELEASE,
        "a directory",
        "nothing",
        MAY,
        expectation=replace(w.EXPECTED, deep=False),
    ),
    Row(
        w.with_state(replace(w.STATE, activations=w.STATE.activations - {str(w.BEFORE)})),
        Kind.ACTIVATION_MISSING,
        w.OLD_ACTIVATION,
        "a directory",
        "nothing",
        MAY,
    ),
    Row(
        w.with_state(replace(w.STATE, activations=w.STATE.activations | {ELSEWHERE})),
        Kind.ACTIVATION_UNFINISHED,
        f"activations/{ELSEWHERE}",
        "nothing",
        "an activation",
        UNTIDY,
    ),
    Row(
        w.with_state(replace(w.STATE, ahead=w.STATE.ahead | {ELSEWHERE})),
        Kind.ACTIVATION_UNFINISHED,
        f"ahead/{ELSEWHERE}",
        "nothing",
        "a mark that it is staged",
        UNTIDY,
    ),
    Row(
        w.with_state(replace(w.STATE, script=w.OTHER)),
        Kind.SCRIPT_OUTDATED,
        "",
        f"SHA-256 {w.SCRIPT}",
        f"SHA-256 {w.OTHER}",
        MAY,
    ),
    Row(
        w.with_state(replace(w.STATE, drained=True)),
        Kind.ROTATION_HEALTH,
        "state/drained",
        "not drained",
        "drained",
        MAY,
    ),
    Row(
        w.with_state(replace(w.STATE, drained=False), "f3"),
        Kind.ROTATION_HEALTH,
        "state/drained",
        "drained",
        "not drained",
        MAY,
        "f3",
    ),
    Row(w.with_state(replace(w.STATE, free=999)), Kind.SPACE_LOW, "", "1000 bytes free or more", "999 bytes", MAY),
    Row(
        w.with_state(replace(w.STATE, offset=2.6, uncertainty=0.5)),
        Kind.CLOCK_APART,
        "",
        "at most 2 s apart",
        "2.6 s ahead",
        UNTIDY,
    ),
    Row(w.with_state(replace(w.STATE, offset=-3.0)), Kind.CLOCK_APART, "", "at most 2 s apart", "3.0 s behind", UNTIDY),
]
ON_DISK = [
    Row(tree_without(w.RELEASE, APP, f"f 0444 {w.OTHER} js/app ü.js"), Kind.FILE_CHANGED, f"{w.RELEASE}/js/app ü.js",
        FILE, f"a file of SHA-256 {w.OTHER}", CLIENTS),
    Row(tree_without(w.OLD_RELEASE, f"f 0444 {w.OTHER} index.html", f"f 0444 {w.LOGO} index.html"), Kind.FILE_CHANGED,
        f"{w.OLD_RELEASE}/index.html", f"a file of SHA-256 {w.OTHER}", LOGO, MAY),
    Row(tree_without(w.RELEASE, APP, "f 0444 - js/app ü.js"), Kind.FILE_CHANGED, f"{w.RELEASE}/js/app ü.js",
        FILE, "a file that can't be read", CLIENTS),
    Row(tree_without(w.RELEASE, APP), Kind.FILE_MISSING, f"{w.RELEASE}/js/app ü.js", FILE, "nothing", CLIENTS),
    Row(w.with_tree(w.RELEASE, *w.TREES[w.RELEASE], f"f 0644 {w.LOGO} a\nb"), Kind.FILE_EXTRA, f"{w.RELEASE}/a\\nb",
        "nothing", LOGO, UNTIDY),
    Row(w.with_tree(w.RELEASE, *w.TREES[w.RELEASE], "l /etc/passwd\tx y"), Kind.FILE_EXTRA, f"{w.RELEASE}/x y",
        "nothing", "a link to /etc/passwd", UNTIDY),
    Row(w.with_tree(w.RELEASE, *w.TREES[w.RELEASE], "o fifo pipe"), Kind.FILE_EXTRA, f"{w.RELEASE}/pipe",
        "nothing", "neither a file nor a link (fifo)", UNTIDY),
    Row(tree_without(w.RELEASE, APP, "o socket js/app ü.js"), Kind.FILE_TYPE, f"{w.RELEASE}/js/app ü.js", FILE,
        "neither a file nor a link (socket)", CLIENTS),
    Row(tree_without(w.RELEASE, APP, "l ../b c\tjs/app ü.js"), Kind.FILE_TYPE, f"{w.RELEASE}/js/app ü.js", FILE,
        "a link to ../b c", CLIENTS),
    Row(tree_without(w.ACTIVATION, LINK, f"f 0444 {w.LOGO} a b"), Kind.FILE_TYPE, f"{w.ACTIVATION}/a b",
        f"a link to ../../{w.RELEASE}", LOGO, CLIENTS),
    Row(tree_without(w.RELEASE, APP, f"f 0644 {w.APP_JS} js/app ü.js"), Kind.FILE_MODE, f"{w.RELEASE}/js/app ü.js",
        "mode 0444", "mode 0644", MAY),
    Row(tree_without(w.ACTIVATION, LINK, "l ../../x\ta b"), Kind.LINK_CHANGED, f"{w.ACTIVATION}/a b",
        f"a link to ../../{w.RELEASE}", "a link to ../../x", CLIENTS),
    Row(tree_without(w.ACTIVATION, f"l ../../{w.RELEASE}/b\tb", "l ../../x a\tb"), Kind.LINK_CHANGED,
        f"{w.ACTIVATION}/b", f"a link to ../../{w.RELEASE}/b", "a link to ../../x a", CLIENTS),
    Row(w.with_frontend(replace(w.observation("f1"), trees=w.inspected({**w.TREES, w.ACTIVATION: None}))),
        Kind.FILE_TYPE, w.ACTIVATION, "a directory", "something else", CLIENTS),
    Row(tree_without(INDEX, HASH_LINK, f"l ../objects/{w.LOGO}\t{w.OTA}"), Kind.INDEX_CHANGED,
        f"{INDEX}/{w.OTA}", FILE, LOGO, CLIENTS),
    Row(tree_without(INDEX, HASH_LINK), Kind.INDEX_CHANGED, f"{INDEX}/{w.OTA}", FILE, "nothing",
        CLIENTS),
    Row(tree_without(INDEX, f"l ../objects/{w.OTHER}\t{w.OLD_TOKEN}", f"o unreadable {w.OLD_TOKEN}"),
        Kind.INDEX_CHANGED, f"{INDEX}/{w.OLD_TOKEN}", f"a file of SHA-256 {w.OTHER}",
        "neither a file nor a link (unreadable)", CLIENTS),
]  # fmt: skip
FROM = f"from activation {w.NAME}"
SERVED = [
    Row(w.with_answer(w.VERSION, Answer(200, str(w.NAME), w.OTHER)), Kind.DOCUMENT_SERVED, w.VERSION.url,
        f"SHA-256 {w.DOCUMENT} {FROM}", f"SHA-256 {w.OTHER} {FROM}", CLIENTS),
    Row(w.with_answer(w.NATIVE, Answer(200, "", w.OTHER)), Kind.DOCUMENT_SERVED, f"{w.VERSION.url} (native)",
        "status 404", f"SHA-256 {w.OTHER}", CLIENTS),
    Row(w.with_answer(w.MANIFEST, Answer(200, "", w.OLD), "f3"), Kind.MANIFEST_SERVED, w.MANIFEST.url,
        f"SHA-256 {w.NEW}", f"SHA-256 {w.OLD}", MAY, "f3"),
    Row(w.with_answer(w.FILE, Answer(500, str(w.NAME), w.LOGO)), Kind.FILE_SERVED, w.FILE.url,
        f"SHA-256 {w.LOGO} {FROM}", f"status 500 {FROM}", CLIENTS),
    Row(w.with_answer(w.FILE, NOT_NAMED), Kind.FILE_SERVED, w.FILE.url, f"SHA-256 {w.LOGO} {FROM}",
        f"SHA-256 {w.LOGO} from activation (not named)", CLIENTS),
    Row(w.with_answer(w.ENTRY, Answer(200, str(w.NAME), w.OTHER)), Kind.FILE_SERVED, "/ToDo/ (text/html)",
        f"SHA-256 {w.INDEX_HTML} {FROM}", f"SHA-256 {w.OTHER} {FROM}", CLIENTS),
    Row(w.with_answer(w.HASH, Answer(404)), Kind.HASH_SERVED, w.HASH.url, f"SHA-256 {w.APP_JS}", "status 404", CLIENTS),
    Row(w.with_answer(w.EXPECTED.marking(), Answer(200, "", w.OTHER)), Kind.SERVED_ELSEWHERE, PLACE,
        "the mark that this audit left below the root", f"SHA-256 {w.OTHER}", MAY),
    Row(w.with_answer(w.EXPECTED.marking(), Answer(404)), Kind.SERVED_ELSEWHERE, PLACE,
        "the mark that this audit left below the root", "status 404", MAY),
    Row(w.with_answer(w.EXPECTED.marking(), DOWN), Kind.UNSEEN, PLACE, "an answer", "connection refused", MAY,
        expectation=replace(w.EXPECTED, place="0f" * 8, rotation={"f1": w.ROTATION["f1"]})),
    Row(w.with_frontend(replace(w.observation("f1"), recipe=w.OTHER)), Kind.RECIPE_OUTDATED, "", f"SHA-256 {w.RECIPE}",
        f"SHA-256 {w.OTHER}", MAY),
    Row(w.with_frontend(replace(w.observation("f1"), recipe_wanted="")), Kind.RECIPE_OUTDATED, "",
        "a recipe of this Lockstep, with its options", f"SHA-256 {w.RECIPE}", MAY),
    Row(w.with_frontend(replace(w.observation("f1"), health=503)), Kind.ROTATION_HEALTH, "/-/lockstep/health",
        "status 200: serving", "status 503", MAY),
    Row(w.with_frontend(replace(w.observation("f3"), health=200)), Kind.ROTATION_HEALTH, "/-/lockstep/health",
        "status 503: drained", "status 200", MAY, "f3"),
    Row(replace(w.SEEN, balancer=Balancer({"f1": False, "f2": True, "f3": False, "f4": False})), Kind.ROTATION_BALANCER,
        "", "clients are sent to it: serving", "no client is sent to it", MAY),
    Row(replace(w.SEEN, balancer=Balancer({"f1": True, "f2": True, "f3": True, "f4": False})), Kind.ROTATION_BALANCER,
        "", "no client is sent to it: drained", "clients are sent to it", CLIENTS, "f3"),
    Row(replace(w.SEEN, address={**w.SEEN.address, w.VERSION.key: Answer(200, str(w.NAME), w.OTHER)}),
        Kind.ADDRESS_OLD, w.VERSION.url, f"SHA-256 {w.DOCUMENT} {FROM}",
        f"SHA-256 {w.OTHER} {FROM}, which activation {w.BEFORE} answered", CLIENTS, ""),
    Row(replace(w.SEEN, address={**w.SEEN.address, w.VERSION.key: Answer(200, str(w.BEFORE), w.DOCUMENT)}),
        Kind.ADDRESS_OLD, w.VERSION.url, f"SHA-256 {w.DOCUMENT} {FROM}",
        f"SHA-256 {w.DOCUMENT} from activation {w.BEFORE}", CLIENTS, ""),
    Row(replace(w.SEEN, address={**w.SEEN.address, w.HASH.key: Answer(200, "", w.LOGO)}), Kind.ADDRESS_CHANGED,
        w.HASH.url, f"SHA-256 {w.APP_JS}", f"SHA-256 {w.LOGO}", CLIENTS, ""),
    Row(replace(w.SEEN, address={**w.SEEN.address, w.HASH.key: DOWN}), Kind.ADDRESS_UNSEEN, "", "an answer",
        "connection refused (1 of 2 requests not answered)", MAY, ""),
]  # fmt: skip
F1 = w.observation("f1")
UNSEEN = [
    Row(replace(w.SEEN, frontends={n: o for n, o in w.SEEN.frontends.items() if n != "f1"}), Kind.UNSEEN, "",
        "an answer", "nobody has looked", MAY),
    Row(w.with_frontend(Observation("f1", answers={w.VERSION.key: DOWN}, reasons={"shell": "no route to host"})),
        Kind.UNSEEN, "", "an answer", "no route to host", MAY),
    Row(w.with_frontend(Observation("f1", answers={w.VERSION.key: DOWN})), Kind.UNSEEN, "", "an answer",
        "connection refused", MAY),
    Row(w.with_frontend(replace(F1, state=None, reasons={"shell": "refused: state"})), Kind.UNSEEN, "shell",
        "an answer", "refused: state", MAY),
    Row(w.with_frontend(replace(F1, trees=w.inspected({p: t for p, t in w.TREES.items() if p != w.RELEASE}))),
        Kind.UNSEEN, w.RELEASE, "an answer", "nobody has looked", MAY),
    Row(w.with_frontend(replace(F1, trees=w.inspected({p: t for p, t in w.TREES.items() if p != INDEX}),
        reasons={INDEX: "busy"})), Kind.UNSEEN, INDEX, "an answer", "busy", MAY),
    Row(w.with_answer(w.FILE, DOWN), Kind.UNSEEN, "http", "an answer",
        "connection refused (1 of 6 requests not answered)", MAY),
    Row(w.with_frontend(replace(F1, health=None, reasons={"http": "time is over"})), Kind.UNSEEN, "http", "an answer",
        "time is over", MAY),
    Row(w.SEEN, Kind.UNSEEN, "http", "an answer", "nobody has asked", MAY,
        expectation=replace(w.EXPECTED, asks={**w.EXPECTED.asks, "f1": ()})),
    Row(w.with_frontend(replace(F1, recipe=None)), Kind.UNSEEN, "recipe", "an answer", "nobody has looked", MAY),
    Row(replace(w.SEEN, balancer=Balancer({"f2": True, "f3": False, "f4": True})), Kind.UNSEEN, "load balancer",
        "an answer", "the load balancer does not know this frontend", MAY),
    Row(replace(w.SEEN, balancer=None), Kind.UNSEEN, "load balancer", "an answer", "nobody has looked", MAY, ""),
    Row(replace(w.SEEN, balancer=Balancer()), Kind.UNSEEN, "load balancer", "an answer", "nobody has looked", MAY, ""),
    Row(replace(w.SEEN, balancer=Balancer({"f1": True}, "no socket")), Kind.UNSEEN, "load balancer", "an answer",
        "no socket", MAY, ""),
    Row(replace(w.SEEN, frontends={}), Kind.UNSEEN, "manifests", "an answer", "no frontend is in rotation", MAY, "",
        replace(w.EXPECTED, rotation={}, balanced=False)),
]  # fmt: skip
ROWS = [*STATES, *ON_DISK, *SERVED, *UNSEEN]


def row_name(row: Row) -> str:
    return f"{row.kind}-{row.frontend}-{row.path[-24:]}"


def found(seen: Seen, expectation: Expectation = w.EXPECTED) -> tuple[Finding, ...]:
    return drift(expectation, seen).findings


@pytest.mark.parametrize("deep", [True, False])
def test_a_fleet_as_it_should_be_has_no_findings(deep: bool) -> None:
    assert found(w.SEEN, replace(w.EXPECTED, deep=deep)) == ()


@pytest.mark.parametrize("row", ROWS, ids=row_name)
def test_a_difference_is_exactly_its_finding(row: Row) -> None:
    [finding] = found(row.seen, row.expectation)
    assert finding == Finding(w.FLEET, row.frontend, row.kind, row.path, row.expected, row.found, row.seriousness)
    for text in (finding.what, finding.remedy):
        assert text and "{" not in text


def test_every_kind_is_planted_alone_but_a_split_which_comes_with_the_manifest_that_makes_it() -> None:
    assert {row.kind for row in ROWS} == set(Kind) - {Kind.FLEET_SPLIT}


@pytest.mark.parametrize(
    ("frontend", "split"), [("f1", True), ("f2", True), ("f3", False), ("f4", True)], ids=["f1", "f2", "out", "going"]
)
def test_only_frontends_that_clients_may_come_to_split_the_fleet(frontend: str, split: bool) -> None:
    findings = found(w.with_answer(w.MANIFEST, Answer(200, "", w.OLD), frontend))
    kinds = [finding.kind for finding in findings]
    assert kinds == ([Kind.FLEET_SPLIT] if split else []) + [Kind.MANIFEST_SERVED]
    if split:
        assert (findings[0].frontend, findings[0].seriousness) == ("", CLIENTS)
        assert f"{frontend}: ToDo {w.OLD}" in findings[0].found
        assert f"ToDo {w.NEW}" in findings[0].found


def test_frontends_that_agree_on_another_manifest_are_no_split_but_all_wrong() -> None:
    seen = w.SEEN
    for name in w.ROTATION:
        answers = {**w.ANSWERS, w.MANIFEST.key: Answer(200, "", w.OLD)}
        seen = w.with_frontend(replace(w.observation(name), answers=answers), seen)
    assert [finding.kind for finding in found(seen)] == [Kind.MANIFEST_SERVED] * len(w.ROTATION)


def test_zero_answers_are_not_agreement() -> None:
    findings = found(Seen({}))
    assert {finding.kind for finding in findings} == {Kind.UNSEEN, Kind.ADDRESS_UNSEEN}
    unseen = [(finding.frontend, finding.path) for finding in findings if finding.kind is Kind.UNSEEN]
    assert unseen == [("", "load balancer"), ("", "manifests"), *((name, "") for name in w.ROTATION)]


def test_a_recipe_that_lies_elsewhere_is_no_finding_and_closes_one_of_before() -> None:
    result = drift(w.EXPECTED, w.with_frontend(replace(F1, recipe="", recipe_wanted="")))
    assert result.findings == ()
    assert ("f1", "recipe") in result.coverage.parts


def test_a_retained_tree_is_not_asked_for_in_an_audit_that_is_not_deep() -> None:
    trees = w.inspected({p: t for p, t in w.TREES.items() if p not in (w.OLD_RELEASE, w.OLD_ACTIVATION)})
    seen = w.with_frontend(replace(F1, trees=trees))
    assert found(seen, replace(w.EXPECTED, deep=False)) == ()
    assert [finding.path for finding in found(seen)] == [w.OLD_ACTIVATION, w.OLD_RELEASE]


@pytest.mark.parametrize("offset", [None, 2.0, -2.0, 2.4, -2.4])
def test_a_clock_within_what_is_allowed_and_known_is_right(offset: float | None) -> None:
    assert found(w.with_state(replace(w.STATE, offset=offset, uncertainty=0.5))) == ()


@pytest.mark.parametrize("fence", [7, 8, 9])
def test_a_fence_of_any_epoch_since_the_commit_is_right(fence: int) -> None:
    assert found(w.with_state(replace(w.STATE, fence=fence))) == ()


@pytest.mark.parametrize("extra", [MOST_FINDINGS - 1, MOST_FINDINGS, MOST_FINDINGS + 1, 5 * MOST_FINDINGS])
def test_a_tree_has_so_many_findings_at_most_and_the_last_one_says_how_many_more(extra: int) -> None:
    """The changed file is told, however many others there are."""
    lines = [f"f 0444 {w.LOGO} extra/{number:04}" for number in range(extra)]
    changed = [line.replace(w.APP_JS, w.OTHER) for line in w.TREES[w.RELEASE]]
    result = drift(w.EXPECTED, w.with_tree(w.RELEASE, *lines, *changed))
    assert len(result.findings) == min(extra + 1, MOST_FINDINGS)
    assert result.findings[0].kind is Kind.FILE_CHANGED
    assert (("f1", w.RELEASE) in result.coverage.parts) == (extra + 1 <= MOST_FINDINGS)
    more = [finding for finding in result.findings if finding.path == w.RELEASE]
    told = [] if extra + 1 <= MOST_FINDINGS else [f"{extra + 1 - (MOST_FINDINGS - 1)} more differences"]
    assert [finding.found for finding in more] == told
    assert len({finding.identity for finding in result.findings}) == len(result.findings)


def test_the_order_depends_on_nothing_but_the_findings() -> None:
    observed = replace(F1, state=replace(w.STATE, fence=1, script=w.OTHER), recipe=w.OTHER, trees={})
    seen = w.with_frontend(observed, w.with_answer(w.HASH, Answer(404), "f2"))
    turned = Seen(
        dict(reversed(list(seen.frontends.items()))), seen.balancer, dict(reversed(list(seen.address.items())))
    )
    rotation = dict(reversed(list(w.ROTATION.items())))
    findings = found(seen)
    assert len(findings) > 5
    assert list(findings) == sorted(findings, key=order)
    assert found(turned, replace(w.EXPECTED, rotation=rotation)) == findings


def test_a_finding_is_read_by_people_and_by_programs() -> None:
    [finding] = found(w.with_frontend(replace(F1, health=503)))
    assert str(finding.problem()).splitlines()[0] == (
        "f1: /-/lockstep/health: the health answer is not what the ledger says of its rotation"
    )
    assert "lockstep readmit web f1" in str(finding.problem())
    assert finding.as_dict() | {"remedy": ""} == {
        "fleet": "web",
        "frontend": "f1",
        "kind": "rotation-health",
        "path": "/-/lockstep/health",
        "seriousness": "may",
        "what": "the health answer is not what the ledger says of its rotation",
        "expected": "status 200: serving",
        "found": "status 503",
        "remedy": "",
    }
