"""Every kind of finding, from what is seen of it; and nothing where all is well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import pytest

from orchestrator.domain.activation import NOTHING
from orchestrator.ota.doctor.examination import examine
from orchestrator.ota.doctor.findings import ADDRESS, Code, Finding, Severity, verdict
from orchestrator.ota.doctor.look import Look, Seen
from orchestrator.ota.doctor.observations import Asked, Open, Reply, Standing
from orchestrator.ota.doctor.questions import Kind
from tests.unit.ota.doctor.scenes import (
    BEFORE,
    BEHIND,
    CHART,
    FRONTENDS,
    NEW_FILES,
    OLD_FILES,
    SILENT,
    UNSEEN,
    WELL,
    Scene,
    cached,
    damaged,
    everywhere,
    named,
    of_bytes,
    old,
    only,
    question,
    right,
    seen_of,
    silent,
    status,
)

WRONG, UNKNOWN, NOTE = Severity.WRONG, Severity.UNKNOWN, Severity.NOTE
ALL = FRONTENDS
HELD = Open(7, "prepared", False, "lockstep continue 7", False, "ann")
RESTING = Open(7, "activating", True, "fe2: can't be reached", True, "ann")


@dataclass
class Row:
    """A scene, and the findings in it: code -> severity and where."""

    scene: Scene
    findings: dict[Code, tuple[Severity, tuple[str, ...]]]
    #: What the findings must say, somewhere in their words.
    says: tuple[str, ...] = ()


def nameless(reply: Reply) -> Reply:
    return replace(reply, name=None)


def injected(q):  # type: ignore[no-untyped-def]
    """A script put into every page and script."""
    reply = right(q)
    return of_bytes(reply, NEW_FILES[q.path] + b"<spy>") if q.path.endswith((".html", ".js")) else reply


ROWS = {
    "all is well": Row(Scene(), {}),
    "a frontend that was not brought along": Row(
        Scene(answers={"fe2": old}, disks={"fe2": BEHIND}),
        {Code.OLD_CONTENT: (WRONG, ("fe2",))},
        (f"activation {named(2)}", f"`current` is {named(1)}", "lockstep readmit Production/web FRONTEND"),
    ),
    "one of whose disk nobody knows": Row(
        Scene(answers={"fe2": old}, disks={"fe2": UNSEEN}),
        {Code.OLD_CONTENT: (WRONG, ("fe2",)), Code.UNSEEN_DISK: (UNKNOWN, ("fe2",))},
        (f"it serves {named(1)}",),
    ),
    "one that is still to be brought along": Row(
        Scene(answers={"fe2": old}, disks={"fe2": BEHIND}, open=RESTING),
        {Code.OLD_CONTENT: (WRONG, ("fe2",)), Code.OPEN_DEPLOYMENT: (WRONG, ())},
        ("lockstep continue 7", "fe2: can't be reached"),
    ),
    "one that was never deployed to": Row(
        Scene(answers={"fe2": status(503)}, disks={"fe2": Look(NOTHING, False)}),
        {Code.OLD_CONTENT: (WRONG, ("fe2",)), Code.WEB_SERVER_DIFFERS: (WRONG, ("fe2",))},
    ),
    "an activation of another ledger's": Row(
        Scene(
            answers={"fe1": lambda q: replace(right(q), name=named(9) if q.kind.named else None)},
            disks={"fe1": replace(WELL, current=named(9))},
        ),
        {Code.UNKNOWN_ACTIVATION: (WRONG, ("fe1",))},
        (f"`current` is {named(9)}",),
    ),
    "a damaged file, served as it is": Row(
        Scene(
            answers={"fe3": lambda q: of_bytes(right(q), b"bad") if q.path == "app.js" else right(q)},
            disks={"fe3": damaged("app.js", b"bad")},
        ),
        {Code.DAMAGED_CONTENT: (WRONG, ("fe3",))},
        ("app.js", CHART.release.release_tree.files["app.js"]),
    ),
    "a file that is gone": Row(
        Scene(
            answers={"fe3": lambda q: status(404)(q) if q.path == "app.js" else right(q)},
            disks={"fe3": damaged("app.js", None)},
        ),
        {Code.DAMAGED_CONTENT: (WRONG, ("fe3",))},
        ("found: nothing",),
    ),
    "a damaged file of which the web server gives a good copy": Row(
        Scene(disks={"fe3": damaged("app.js", b"bad")}), {Code.DAMAGED_CONTENT: (WRONG, ("fe3",))}
    ),
    "too much damage to be listed": Row(
        Scene(
            answers={"fe3": lambda q: of_bytes(right(q), b"bad") if q.path == "app.js" else right(q)},
            disks={"fe3": replace(WELL, trees={**WELL.trees, CHART.release.release_tree.path: Seen("f" * 64)})},
        ),
        {Code.DAMAGED_CONTENT: (WRONG, ("fe3",))},
        ("too long to be sent",),
    ),
    "a web server that changes what lies on its disk": Row(
        Scene(answers={"fe1": injected}),
        {Code.WEB_SERVER_DIFFERS: (WRONG, ("fe1",))},
        ("other bytes than lie on its disk", "sub_filter"),
    ),
    "an error whose words are the file": Row(
        Scene(answers={"fe1": lambda q: replace(right(q), status=500 if q.path == "app.js" else 200)}),
        {Code.WEB_SERVER_DIFFERS: (WRONG, ("fe1",))},
        ("status 500",),
    ),
    "a web server that serves another root": Row(
        Scene(answers={"fe1": old}),
        {Code.WEB_SERVER_DIFFERS: (WRONG, ("fe1",))},
        (f"activation {named(2)}, which is `current`", f"found: activation {named(1)}"),
    ),
    "other bytes, of whose disk nobody knows": Row(
        Scene(answers={"fe1": injected}, disks={"fe1": UNSEEN}),
        {Code.OTHER_BYTES: (WRONG, ("fe1",)), Code.UNSEEN_DISK: (UNKNOWN, ("fe1",))},
    ),
    "a frontend that names no activation": Row(
        Scene(answers={"fe1": lambda q: nameless(right(q))}),
        {Code.STRIPPED_ACTIVATION: (WRONG, ("fe1",))},
    ),
    "a frontend that does not answer": Row(
        Scene(answers={"fe2": silent}), {Code.SILENT_FRONTEND: (UNKNOWN, ("fe2",))}, ("ConnectError: refused",)
    ),
    "a frontend that answers some of it": Row(
        Scene(answers={"fe2": only(Kind.PRECACHE, lambda _: SILENT)}),
        {Code.SILENT_FRONTEND: (UNKNOWN, ("fe2",))},
        (f"1 of {len(Scene().questions)} questions",),
    ),
    "nobody could look at the disks": Row(
        Scene(disks=dict.fromkeys(ALL, UNSEEN)), {Code.UNSEEN_DISK: (UNKNOWN, ALL)}, ("no worker answers",)
    ),
    "a drained frontend, with all that is wrong with it": Row(
        Scene(
            answers={"fe2": silent, "fe3": old},
            disks={"fe2": UNSEEN, "fe3": BEHIND},
            standings={"fe2": Standing.DRAINED, "fe3": Standing.DRAINED},
        ),
        {
            Code.DRAINED: (NOTE, ("fe2", "fe3")),
            Code.OLD_CONTENT: (NOTE, ("fe3",)),
            Code.SILENT_FRONTEND: (NOTE, ("fe2",)),
            Code.UNSEEN_DISK: (NOTE, ("fe2",)),
        },
        ("new disk, by ann", "lockstep readmit Production/web FRONTEND"),
    ),
    "a drain that nobody has confirmed": Row(
        Scene(standings={"fe2": Standing.DOUBTED}),
        {Code.DRAIN_NOT_CONFIRMED: (UNKNOWN, ("fe2",))},
        ("the load balancer does not answer",),
    ),
    "a new frontend": Row(
        Scene(standings={"fe2": Standing.NEW}, answers={"fe2": silent}),
        {Code.NEW_FRONTEND: (NOTE, ("fe2",)), Code.SILENT_FRONTEND: (NOTE, ("fe2",))},
    ),
    "a cache that keeps the old release": Row(
        Scene(address=lambda q: cached(age="3600", x_cache="HIT from edge")(old(q))),
        {Code.STALE_CACHE: (WRONG, (ADDRESS,))},
        ("age: 3600", "x-cache: HIT from edge", str(named(1)), BEFORE.release.token),
    ),
    "a cache that keeps an old file by its path, without its name": Row(
        Scene(
            address=lambda q: (
                of_bytes(nameless(right(q)), OLD_FILES["app.js"])
                if (q.kind, q.path) == (Kind.BY_HASH, "app.js")
                else right(q)
            )
        ),
        {Code.STALE_CACHE: (WRONG, (ADDRESS,))},
        ("app.js?",),
    ),
    "an old release by the ledger's word, where no frontend answers": Row(
        Scene(answers=everywhere(silent), address=old),
        {Code.STALE_CACHE: (WRONG, (ADDRESS,)), Code.SILENT_FRONTEND: (UNKNOWN, ALL)},
        ("than the ledger committed", "and 3 more"),
    ),
    "something that changes an old release that a frontend in rotation serves": Row(
        Scene(
            answers={"fe2": old},
            disks={"fe2": BEHIND},
            address=lambda q: replace(old(q), sha256="1" * 64) if q.kind is Kind.PRECACHE else old(q),
        ),
        {Code.OLD_CONTENT: (WRONG, ("fe2",)), Code.CHANGED_CONTENT: (WRONG, (ADDRESS,))},
    ),
    "an old release that a frontend serves whose drain nobody has confirmed": Row(
        Scene(answers={"fe2": old}, disks={"fe2": BEHIND}, standings={"fe2": Standing.DOUBTED}, address=old),
        {Code.OLD_CONTENT: (WRONG, ("fe2",)), Code.DRAIN_NOT_CONFIRMED: (UNKNOWN, ("fe2",))},
    ),
    "an old release that a frontend in rotation serves": Row(
        Scene(answers={"fe2": old}, disks={"fe2": BEHIND}, address=old), {Code.OLD_CONTENT: (WRONG, ("fe2",))}
    ),
    "an old release that only a drained frontend serves": Row(
        Scene(answers={"fe2": old}, disks={"fe2": BEHIND}, standings={"fe2": Standing.DRAINED}, address=old),
        {Code.STALE_CACHE: (WRONG, (ADDRESS,)), Code.DRAINED: (NOTE, ("fe2",)), Code.OLD_CONTENT: (NOTE, ("fe2",))},
        ("fe2, out of rotation, would answer so",),
    ),
    "a cache that keeps version checks": Row(
        Scene(address=only(Kind.VERSION, cached(age="12"))), {Code.KEPT_ANSWER: (WRONG, (ADDRESS,))}, ("age: 12",)
    ),
    "something that changes content": Row(
        Scene(address=injected), {Code.CHANGED_CONTENT: (WRONG, (ADDRESS,))}, ("app.js", "sub_filter")
    ),
    "something that changes Cache-Control": Row(
        Scene(address=only(Kind.BY_HASH, cached(cache_control="max-age=60"))),
        {Code.CHANGED_CACHE_CONTROL: (WRONG, (ADDRESS,))},
        ("found: max-age=60",),
    ),
    "Cache-Control's words in another order": Row(
        Scene(address=only(Kind.ENTRY, cached(cache_control="no-cache,private"))), {}
    ),
    "something that strips the activation": Row(
        Scene(address=lambda q: nameless(right(q))), {Code.STRIPPED_ACTIVATION: (WRONG, (ADDRESS,))}
    ),
    "something that strips the pin": Row(
        Scene(address=lambda q: replace(right(q), pin=False)), {Code.STRIPPED_COOKIE: (WRONG, (ADDRESS,))}
    ),
    "another site": Row(
        Scene(address=lambda q: of_bytes(Reply(200, "", "", 0), b"<html>hello</html>")),
        {Code.OTHER_CONTENT: (WRONG, (ADDRESS,))},
        ("no version token",),
    ),
    "a site without the app": Row(Scene(address=status(404)), {Code.OTHER_CONTENT: (WRONG, (ADDRESS,))}),
    "another fleet of the app": Row(
        Scene(address=lambda q: replace(right(q), token="another_token", sha256="d" * 64, name=named(30))),
        {Code.OTHER_CONTENT: (WRONG, (ADDRESS,))},
        ("another_token",),
    ),
    "a load balancer without anybody behind it": Row(
        Scene(address=status(503)), {Code.FAILING_ADDRESS: (WRONG, (ADDRESS,))}, ("status 503",)
    ),
    "an error of every frontend, in the words of the load balancer": Row(
        Scene(answers=everywhere(status(503)), address=lambda q: replace(status(503)(q), sha256="1" * 64)),
        {Code.WEB_SERVER_DIFFERS: (WRONG, ALL)},
    ),
    "a proxy that refuses some files": Row(
        Scene(address=lambda q: status(403)(q) if q.path == "app.js" else right(q)),
        {Code.FAILING_ADDRESS: (WRONG, (ADDRESS,))},
        ("what every frontend gives",),
    ),
    "an address that does not answer": Row(
        Scene(address=silent), {Code.SILENT_ADDRESS: (UNKNOWN, (ADDRESS,))}, ("ConnectError: refused",)
    ),
    "an address that serves other bytes, where no frontend answers": Row(
        Scene(answers=everywhere(silent), address=injected),
        {Code.OTHER_BYTES: (WRONG, (ADDRESS,)), Code.SILENT_FRONTEND: (UNKNOWN, ALL)},
    ),
    "nobody answers": Row(
        Scene(answers=everywhere(silent), address=silent, disks=dict.fromkeys(ALL, UNSEEN)),
        {
            Code.SILENT_ADDRESS: (UNKNOWN, (ADDRESS,)),
            Code.SILENT_FRONTEND: (UNKNOWN, ALL),
            Code.UNSEEN_DISK: (UNKNOWN, ALL),
            Code.NOTHING_EXAMINED: (UNKNOWN, ()),
        },
    ),
    "nobody was asked": Row(Scene(frontends=(), questions=[]), {Code.NOTHING_EXAMINED: (UNKNOWN, ())}),
    "a deployment that is held": Row(
        Scene(open=HELD), {Code.OPEN_DEPLOYMENT: (NOTE, ())}, ("prepared", "lockstep continue 7", "lockstep abort 7")
    ),
    "a deployment that is being carried out": Row(
        Scene(open=replace(RESTING, resting=False, waits_for="its workers")), {Code.OPEN_DEPLOYMENT: (NOTE, ())}
    ),
    "a fleet that is moved all the time": Row(Scene(more={"moved": True}), {Code.MOVED: (UNKNOWN, ())}),
    "documents of another version": Row(Scene(more={"other_form": True}), {Code.OTHER_FORM: (UNKNOWN, ())}),
    "a file that the release does not list": Row(
        Scene(asked=Asked("app.jss", near=("app.js",))), {Code.NOT_LISTED: (WRONG, ())}, ("app.jss", "it lists app.js")
    ),
    "a client's hash of an earlier release": Row(
        Scene(asked=Asked("app.js?x", "app.js", (), "x" * 22, ("1.0.0",))),
        {Code.OTHER_HASH: (NOTE, ())},
        ("that file in 1.0.0",),
    ),
    "a damaged file that was asked about": Row(
        Scene(
            asked=Asked("app.js", "app.js"),
            disks={
                "fe1": replace(
                    WELL,
                    trees={**WELL.trees, CHART.release.release_tree.path: Seen("f" * 64, (f"f {'a' * 64} app.js",))},
                )
            },
        ),
        {Code.DAMAGED_CONTENT: (WRONG, ("fe1",))},
        ("a" * 64,),
    ),
    "damage elsewhere than in the file that was asked about": Row(
        Scene(
            asked=Asked("app.js", "app.js"),
            disks={
                "fe1": replace(
                    WELL,
                    trees={
                        **WELL.trees,
                        CHART.release.release_tree.path: Seen(
                            "f" * 64, (f"f {CHART.release.release_tree.files['app.js']} app.js",)
                        ),
                    },
                )
            },
        ),
        {},
    ),
    "an activation that leads to another release than it should": Row(
        Scene(asked=Asked("app.js", "app.js"), disks={"fe1": replace(BEHIND, current=named(2))}),
        {Code.DAMAGED_CONTENT: (WRONG, ("fe1",))},
    ),
    "a fleet that nobody knows": Row(
        Scene(frontends=(), more={"release": None, "fleet": ""}), {Code.ADDRESS_ALONE: (NOTE, ())}
    ),
    "a fleet that nobody knows, and other bytes than their hash": Row(
        Scene(frontends=(), more={"release": None, "fleet": ""}, address=injected),
        {Code.ADDRESS_ALONE: (NOTE, ()), Code.OTHER_BYTES: (WRONG, (ADDRESS,))},
        ("with --fleet",),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_is_seen_is_what_is_said(row: Row) -> None:
    findings = examine(row.scene.observations())
    assert {finding.code: (finding.severity, finding.where) for finding in findings} == row.findings
    assert len(findings) == len(row.findings)
    words = "\n".join(_words(finding) for finding in findings)
    for text in row.says:
        assert text in words
    assert all(finding.remedy or finding.severity is UNKNOWN for finding in findings)


def test_every_kind_of_finding_has_its_row() -> None:
    assert {code for row in ROWS.values() for code in row.findings} == set(Code)


def _words(finding: Finding) -> str:
    return f"{finding.what}; expected: {finding.expected}; found: {finding.found}; {finding.remedy}"


def test_what_is_wrong_outweighs_what_is_not_known_and_a_note_outweighs_nothing() -> None:
    def of(*severities: Severity) -> Severity | None:
        return verdict(Finding(Code.MOVED, severity, "") for severity in severities)

    assert of(NOTE, UNKNOWN, WRONG) is WRONG
    assert of(NOTE, UNKNOWN) is UNKNOWN
    assert of(NOTE) is None
    assert of() is None


def test_what_a_frontend_has_made_up_is_no_command_to_a_terminal() -> None:
    tree = CHART.release.activation_tree
    assert tree is not None
    listed = (*(line for line in tree.listing() if line[0] == "f"), "l ../../\x1b[2J ToDo", "o ? \udcff\x1b]0;x\x07")
    look = replace(WELL, trees={**WELL.trees, tree.path: Seen("f" * 64, listed)})
    (finding,) = examine(Scene(disks={"fe1": look}).observations())
    assert finding.code is Code.DAMAGED_CONTENT
    assert "a link to ../../ [2J" in finding.found
    assert _words(finding).isprintable()


def test_a_cache_is_known_by_its_headers() -> None:
    reply = right(question(Kind.VERSION))
    kept = ({"age": "1"}, {"x-cache": "HIT"}, {"cf-cache-status": "HIT"}, {"cache-status": "edge; hit"})
    fresh: tuple[dict[str, str], ...] = (
        {"age": "0"},
        {"age": "²"},
        {"age": "-1"},
        {"x-cache": "MISS"},
        {"cache-status": "edge; fwd=miss"},
        {},
    )
    assert all(replace(reply, cache=headers).kept for headers in kept)
    assert not any(replace(reply, cache=headers).kept for headers in fresh)


def test_the_documents_of_another_version_are_known_by_all_agreeing_on_them() -> None:
    def visits(*tokens: str) -> list:  # type: ignore[type-arg]
        seen = Scene(
            answers={
                name: only(Kind.VERSION, partial(replace, token=token))
                for name, token in zip(FRONTENDS, tokens, strict=True)
            }
        )
        return [seat.visit for seat in seen.observations().seats]

    assert CHART.other_form(visits("other", "other", "other")) == "other"
    assert CHART.other_form(visits("other", "other", CHART.release.token)) == ""
    assert CHART.other_form(visits("other", "others", "other")) == ""
    assert CHART.other_form(visits(*[CHART.release.token] * 3)) == ""
    assert CHART.other_form(visits(*[BEFORE.release.token] * 3)) == ""
    assert CHART.of_form("other").known == {CHART.release.release_tree.digest()}
    assert seen_of(CHART.of_form("other")) != seen_of(CHART)
