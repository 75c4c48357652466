"""What the attendant reads: nothing but the exact form of a line, and just so many bytes behind it."""

from __future__ import annotations

import pytest

from tests.remote.attended import Attendant
from tests.remote.frontend import Frontend, snapshot
from tests.remote.packs import activation_name, content_member, tar
from tests.remote.shells import PATIENCE, line
from tests.remote.test_attendant import NAME, STAGE

pytestmark = pytest.mark.parametrize("shell", ["attendant"], indirect=True)

FOUR, FIVE, SIX = map(activation_name, (4, 5, 6))

NO_LINES = [
    *(b"", b"probe", b"0 probe", b"0 0", b"0 0 ", b"x 0 probe", b"0 x probe", b"00 0 probe", b"0 00 probe"),
    *(b"-1 0 probe", b"+1 0 probe", b"1e3 0 probe", b"1.0 0 probe", b"0x1 0 probe", b" 0 0 probe", b"0  0 probe"),
    *(b"0 0  probe", b"0 0 probe ", b"0 0 probe\r", b"0 0 pro\tbe", b"0 0 probe\0", b"0 0 prob\xc3\xa9", b"0\t0 probe"),
    *(b"1234567890123 0 probe", b"0 1234567 probe", b"01 0 probe", b"0 0 verify  " + FOUR.encode(), b"READY", b"OK"),
    f"GO {FIVE}".encode(),
]


@pytest.mark.parametrize("sent", NO_LINES)
def test_anything_else_than_a_line_ends_it(frontend: Frontend, sent: bytes) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    before = snapshot(frontend.root)
    attendant = Attendant(frontend)
    # What follows is not looked at: nobody knows where it begins.
    attendant.say(sent + b"\n" + line(["arm", FIVE], 0) + f"GO {FIVE}\n".encode())
    assert attendant.answer().verdict == "REFUSED words"
    said, complaints, exit_ = attendant.end()
    assert (said, complaints, exit_) == (b"", b"", 10)
    assert snapshot(frontend.root) == before


def test_a_line_without_an_end_is_none_and_is_not_kept_for_ever(frontend: Frontend) -> None:
    attendant = Attendant(frontend)
    attendant.say(b"0 0 probe" + b" x" * 200_000)
    # Its input is still open.
    assert attendant.line() == ""
    assert attendant.process.wait(PATIENCE) is not None
    said, complaints, _ = attendant.end()
    assert (said, complaints) == (b"", b"")


def test_half_a_line_is_none(frontend: Frontend) -> None:
    for sent in (b"0 0 probe", f"0 9 arm {FIVE}".encode(), b"0", b" "):
        attendant = Attendant(frontend)
        attendant.say(sent)
        said, complaints, _ = attendant.end()
        assert (said, complaints) == (b"", b""), sent


def test_a_line_may_be_as_long_as_a_frontend_has_releases(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4})
    releases = [f"App{n}/{'a' * 64}" for n in range(2000)]
    with Attendant(frontend) as attendant:
        assert attendant.do("verify", FOUR, *releases).verdict == "REFUSED unstaged"
        for release in releases:
            (frontend.root / "releases" / release).mkdir(parents=True)
        answer = attendant.do("verify", FOUR, *releases[:300])
        assert (answer.verdict, len(answer.lines)) == ("OK", 302)


def test_commands_may_come_all_at_once_or_byte_by_byte(frontend: Frontend) -> None:
    sent = b"".join(
        line(words, len(body)) + body
        for words, body in (
            (["probe"], STAGE.object_lines),
            (["receive", FIVE], STAGE.objects_pack()),
            (["assemble", FIVE], STAGE.links_pack()),
            (["verify", FIVE, STAGE.release], b""),
            (["probe"], STAGE.object_lines),
        )
    )
    for step in (len(sent), 1):
        with Attendant(frontend) as attendant:
            for begin in range(0, len(sent), step):
                attendant.say(sent[begin : begin + step])
            answers = [attendant.answer() for _ in range(5)]
        assert [answer.verdict for answer in answers] == ["OK"] * 5
        assert not [each for each in answers[-1].lines if each.startswith("missing ")]


def test_with_too_few_bytes_announced_the_rest_is_no_line(frontend: Frontend) -> None:
    sent = STAGE.objects_pack()
    attendant = Attendant(frontend)
    attendant.say(line(["receive", FIVE], len(sent) - 9) + sent + b"\n")
    assert attendant.answer().verdict == "FAILED pack"
    assert attendant.answer().verdict == "REFUSED words"
    assert attendant.end() == (b"", b"", 10)
    assert frontend.names("objects") == set()


@pytest.mark.parametrize("more", [1, 1 << 30, 999_999_999_999])
@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["receive", FIVE], STAGE.objects_pack()),
        (["receive", FIVE], STAGE.objects_pack()[:50]),
        (["receive", FIVE, "tar"], tar(map(content_member, STAGE.contents))),
        (["receive", FIVE, "tar"], tar(map(content_member, STAGE.contents))[:1500]),
        (["receive", FIVE, f"{NAME}.tgz"], STAGE.objects_pack()),
        (["receive", FIVE, f"{NAME}.tar"], b""),
        (["assemble", FIVE], STAGE.links_pack()),
        (["probe"], STAGE.object_lines),
    ],
    # Packs have the time in them, and names of tests must not.
    ids=range(8),
)
def test_where_the_input_ends_before_it_should_nothing_has_come(
    frontend: Frontend, words: list[str], sent: bytes, more: int
) -> None:
    if words[0] == "assemble":
        assert frontend.run("receive", FIVE, stdin=STAGE.objects_pack()).verdict == "OK"
    before = snapshot(frontend.root)
    attendant = Attendant(frontend)
    attendant.say(line(words, len(sent) + more if len(sent) + more < 10**12 else 10**12 - 1) + sent)
    said, complaints, exit_ = attendant.end()
    # No answer is better than one to half of it.
    assert (said, complaints) == (b"", b"")
    assert exit_ not in {0, 10, 11}
    assert snapshot(frontend.root) == before


def test_at_the_end_of_its_input_it_ends(frontend: Frontend) -> None:
    attendant = Attendant(frontend)
    assert attendant.end() == (b"", b"", 0)
