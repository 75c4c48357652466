from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import PATH_BYTES, SEGMENT_BYTES, Names, check_path, check_paths, fold, show
from tests.unit.releases.trees import PATHS

COMPOSED, DECOMPOSED = "caf\u00e9.js", "cafe\u0301.js"


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "a b/c  d.txt",
        " leading and trailing ",
        "a+b%2F?x=1#y&z.js",
        'it\'s "quoted".css',
        "$(reboot)`;|&<>*[]{}!~^=,@:.txt",
        "-rf",
        "--/-",
        "a/-",
        ".well-known/x",
        "...",
        "..a/b..",
        COMPOSED,
        "日本語/файл.txt",
        "\U0001f600.png",
        "a/moduleservices/x",
        "a/precache.manifest",
        "moduleservices.js",
        "precache.manifest.json",
        "a/x:y",
        "ab:c",
        "s" * SEGMENT_BYTES,
    ],
)
def test_a_name_that_a_url_can_carry_is_allowed(path: str) -> None:
    check_paths([path])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "empty segment"),
        ("/etc/passwd", "absolute"),
        ("/", "absolute"),
        ("//server/share", "absolute"),
        ("C:/Windows/x", "absolute"),
        ("c:x", "absolute"),
        ("C:", "absolute"),
        ("..", "upwards"),
        ("../x", "upwards"),
        ("a/../../x", "upwards"),
        ("a/..", "upwards"),
        (".", "lone dot"),
        ("a/./b", "lone dot"),
        ("./a", "lone dot"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("a\\b", "backslash"),
        ("..\\x", "backslash"),
        ("a\n", "control character"),
        ("a\r", "control character"),
        ("a\tb/c", "control character"),
        ("a\0b", "control character"),
        ("a\x7f", "control character"),
        ("a\x85b", "control character"),
        ("a\u2028b", "control character"),
        ("a\u2029", "control character"),
        ("a\udce9.txt", "UTF-8"),
        ("\ud800", "UTF-8"),
        ("s" * (SEGMENT_BYTES + 1), "longer than 255"),
        ("é" * 128, "longer than 255"),
        ("/".join(["d" * 255] * 4 + ["xy"]), "longer than 1024"),
        (DECOMPOSED, "NFC"),
        ("\u212b", "NFC"),
        ("-", "reserved"),
        ("-/lockstep/health", "reserved"),
        ("moduleservices", "reserved"),
        ("moduleservices/moduleinfo", "reserved"),
        ("ModuleServices/x", "reserved"),
        ("module\u017fervices/x", "reserved"),
        ("precache.manifest", "reserved"),
        ("PreCache.Manifest", "reserved"),
        ("precache.manifest/x", "reserved"),
    ],
)
def test_a_name_that_could_harm_is_refused_and_named(path: str, words: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        check_path(path)
    assert words in refused.value.problem.what
    assert refused.value.problem.where == (show(path) or "(an empty name)")
    assert refused.value.problem.remedy


def test_the_longest_path_is_allowed_and_one_byte_more_is_not() -> None:
    longest = "/".join(["d" * 255, "d" * 255, "d" * 255, "d" * 254, "x"])
    assert len(longest) == PATH_BYTES
    check_path(longest)
    with pytest.raises(ReleaseError, match="longer than 1024 bytes"):
        check_path(f"{longest}y")


def test_the_composed_spelling_is_the_remedy_for_a_decomposed_name() -> None:
    with pytest.raises(ReleaseError) as refused:
        check_path(DECOMPOSED)
    assert COMPOSED in refused.value.problem.remedy
    assert refused.value.problem.expected == ascii(COMPOSED)
    assert refused.value.problem.found == ascii(DECOMPOSED)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.js", "A.js"),
        ("dir/a", "DIR/b"),
        ("x/dir/a", "x/Dir"),
        ("straße", "STRASSE"),
        ("\u017f", "s"),
        ("\u1e9e", "ß"),
        ("\u03b1\u0345", "\u0391\u0399"),
        ("ÉTÉ/x", "été/x"),
        ("\u212a", "k"),
        ("\u0390", "\u03aa\u0301"),
    ],
)
def test_names_that_differ_only_by_case_are_refused_in_either_order(first: str, second: str) -> None:
    # Some pairs hold names that are not in composed form; here it is only how they fold that matters.
    for pair in ((first, second), (second, first)):
        names = Names()
        names.add_file(pair[0])
        with pytest.raises(ReleaseError) as refused:
            names.add_file(pair[1])
        assert "differ only by case" in refused.value.problem.what
        assert "and" in refused.value.problem.found


@pytest.mark.parametrize("pair", [("a", "a/b"), ("a/b", "a"), ("x/a/b/c", "x/a"), ("x/a", "x/a/b/c")])
def test_a_path_that_is_both_a_file_and_a_directory_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ReleaseError, match="both a file and a directory"):
        check_paths(pair)


def test_a_file_and_an_empty_directory_of_one_name_are_refused_in_either_order() -> None:
    first, second = Names(), Names()
    first.add_directory("a")
    second.add_file("a")
    with pytest.raises(ReleaseError, match="both a file and a directory"):
        first.add_file("a")
    with pytest.raises(ReleaseError, match="both a file and a directory"):
        second.add_directory("a")


def test_the_same_file_twice_is_refused_and_the_same_directory_twice_is_not() -> None:
    names = Names()
    names.add_directory("a")
    names.add_directory("a")
    names.add_file("a/b")
    with pytest.raises(ReleaseError, match="there twice"):
        names.add_file("a/b")


def test_directories_above_a_file_count_as_entries() -> None:
    names = Names()
    names.add_file("a/b/c/d")
    assert len(names) == 4
    assert names.is_directory("a/b") and names.is_directory("") and not names.is_directory("a/b/c/d")


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
@example("\udc80")
@example("a\n")
@example("")
def test_whatever_is_let_through_can_be_a_path_of_a_url_and_of_a_file_system(text: str) -> None:
    try:
        check_path(text)
    except ReleaseError as error:
        assert error.problem.what
        assert str(error).encode()
        assert "\n" not in error.problem.where
        return
    raw = text.encode()
    assert len(raw) <= PATH_BYTES
    assert unicodedata.normalize("NFC", text) == text
    assert text == text.strip("/") and len(text.splitlines()) == 1 and text.splitlines()[0] == text
    for segment in raw.split(b"/"):
        assert segment not in (b"", b".", b"..") and len(segment) <= SEGMENT_BYTES
    assert not any(byte < 32 or byte in b"\x7f\\" for byte in raw)
    assert text.split("/", maxsplit=1)[0].casefold() not in ("-", "moduleservices", "precache.manifest")


@given(PATHS)
def test_folding_joins_what_casefolding_and_normal_forms_join(path: str) -> None:
    assert fold(unicodedata.normalize("NFC", path)) == fold(unicodedata.normalize("NFD", path)) == fold(path)
    assert fold(path.casefold()) == fold(path)
    assert fold(fold(path)) == fold(path)


@given(st.lists(PATHS, max_size=8))
def test_a_set_of_paths_is_allowed_or_refused_whatever_their_order(paths: list[str]) -> None:
    def verdict(order: list[str]) -> bool:
        try:
            check_paths(order)
        except ReleaseError:
            return False
        return True

    assert verdict(paths) == verdict(paths[::-1]) == verdict(sorted(paths))


@given(st.text(st.characters(exclude_categories=()), max_size=600))
def test_a_shown_path_is_printable_and_short(text: str) -> None:
    assert show(text).isprintable()
    assert len(show(text)) <= 201


def test_bytes_that_are_not_utf8_are_shown_as_bytes() -> None:
    assert show("a\udce9b\n\ud800") == "a\\xe9b\\n\\ud800"
