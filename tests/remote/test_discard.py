"""discard: what was served once, and what was found changed, goes; what anybody else needs stays."""

from __future__ import annotations

from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.packs import FILES, Stage, activation_name, sha256

OLD = Stage(1, {"index.html": b"old", "shared.js": b"shared", "same.js": b"shared", "empty": b""})
NEW = Stage(2, {"index.html": b"new", "shared.js": b"shared", "empty": b""})


def contents(frontend: Frontend) -> dict[str, tuple[object, ...]]:
    """All but the state, and but for what a frontend starts from."""
    return snapshot(frontend.root, ignored=["state", f"activations/{activation_name(0)}"])


def test_an_old_activation_goes_with_its_release_and_all_that_nothing_else_uses(frontend: Frontend) -> None:
    frontend.serve(NEW)
    alone = contents(frontend)
    frontend.place(0, 0, ())
    frontend.serve(OLD)
    frontend.stage(NEW)
    assert frontend.run("activate", NEW.activation).verdict == "OK"
    for again in range(2):
        answer = frontend.run("discard", OLD.activation, OLD.release, stdin=OLD.object_lines)
        assert answer.lines == ["OK"], again
        assert contents(frontend) == alone
    for key, name in NEW.by_hash.items():
        assert (frontend.root / "by-hash" / key).samefile(frontend.root / "objects" / name)
    check_tree(frontend.root)


def test_a_release_that_another_activation_holds_is_refused_until_it_is_left_out(frontend: Frontend) -> None:
    back = Stage(3, OLD.files)
    frontend.serve(OLD, NEW, back)
    before = snapshot(frontend.root)
    for stage in (OLD, NEW):
        answer = frontend.run("discard", stage.activation, OLD.release, stdin=OLD.object_lines)
        assert answer.verdict == "REFUSED inuse"
    assert snapshot(frontend.root) == before
    # Both hold it: the first goes alone, and takes only what is its own.
    assert frontend.run("discard", OLD.activation, stdin=OLD.object_lines).lines == ["OK"]
    assert not (frontend.root / "activations" / OLD.activation).exists()
    assert frontend.has(back)
    assert {sha256(content) for content in back.contents} <= frontend.names("objects")
    assert set(back.by_hash) <= frontend.names("by-hash")
    assert sha256(OLD.document) not in frontend.names("objects")


def test_several_releases_go_at_once(frontend: Frontend) -> None:
    other = Stage(2, {"x": b"x"})
    frontend.stage(OLD)
    frontend.stage(other)
    frontend.serve(Stage(3))
    assert frontend.run("discard", other.activation).verdict == "OK"
    lines = OLD.object_lines + other.object_lines
    assert frontend.run("discard", OLD.activation, OLD.release, other.release, stdin=lines).verdict == "OK"
    assert list((frontend.root / "releases/ToDo").iterdir()) == [frontend.root / "releases" / Stage(3).release]
    assert frontend.names("objects") == {sha256(content) for content in Stage(3).contents}
    assert frontend.names("by-hash") == set(Stage(3).by_hash)


def test_objects_that_are_not_named_stay(frontend: Frontend) -> None:
    frontend.serve(OLD, NEW)
    assert frontend.run("discard", OLD.activation, OLD.release).verdict == "OK"
    assert {sha256(content) for content in OLD.contents} <= frontend.names("objects")
    assert set(OLD.by_hash) <= frontend.names("by-hash")


def test_a_changed_object_goes_though_others_link_to_it_so_that_it_can_be_sent_again(frontend: Frontend) -> None:
    frontend.serve(OLD)
    frontend.stage(NEW)
    name = sha256(b"shared")
    changed = frontend.root / "objects" / name
    changed.chmod(0o644)
    changed.write_bytes(b"SHARED")
    changed.chmod(0o444)
    kept = snapshot(frontend.root / "releases" / OLD.release)
    assert frontend.missing(f"{name}\n".encode()) == []
    lines = f"{name}\n{sha256(b'new')}\n{sha256(b'')}\n".encode()
    assert frontend.run("discard", NEW.activation, NEW.release, stdin=lines).lines == ["OK"]
    assert frontend.missing(f"{name}\n".encode()) == [name]
    assert not [key for key in OLD.by_hash if OLD.by_hash[key] == name and key in frontend.names("by-hash")]
    assert snapshot(frontend.root / "releases" / OLD.release) == kept
    assert sha256(b"") in frontend.names("objects")
    frontend.stage(NEW)
    assert frontend.has(NEW)


def test_what_is_served_and_what_may_have_been_committed_is_refused(frontend: Frontend) -> None:
    frontend.serve(OLD)
    frontend.stage(NEW)
    before = snapshot(frontend.root)
    assert frontend.run("discard", OLD.activation, NEW.release, stdin=NEW.object_lines).verdict == "REFUSED current"
    assert snapshot(frontend.root) == before
    armed = frontend.arm(NEW.epoch)
    answer = frontend.run("discard", NEW.activation, NEW.release, stdin=NEW.object_lines)
    assert answer.verdict == "REFUSED armed"
    assert armed.finish(f"GO {NEW.activation}\n".encode()).verdict == "OK"


def test_names_in_by_hash_that_are_not_lockstep_s_stay(frontend: Frontend) -> None:
    frontend.serve(OLD, Stage(2, FILES))
    (frontend.root / "by-hash/some thing else").write_text("x")
    assert frontend.run("discard", OLD.activation, OLD.release, stdin=OLD.object_lines).verdict == "OK"
    assert (frontend.root / "by-hash/some thing else").exists()
    assert sha256(b"old") not in frontend.names("objects")
