"""`lockstep ota doctor` against a real fleet in which one thing after the other is wrong, and mended again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.lab import Lab
from orchestrator.domain.release import Hasher
from tests.integration.nginx import free_ports, nginx
from tests.integration.operator import Operator, Said, fetch, tree, wait_until

PART = "scripts/part 1+ü.js"
OLD = tree("doctor", files=6, size=4_000)
NEW = tree("doctor", files=6, size=4_000, changed={PART: b"console.log('new')", "index.html": b"<title>new</title>"})

#: Caches by path alone, whatever it is told: what a careless CDN does.
CACHING = """
    proxy_cache_path {directory}/cache keys_zone=doctor:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_cache doctor;
            proxy_cache_key $uri;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Set-Cookie Expires;
            proxy_hide_header Set-Cookie;
            add_header X-Cache $upstream_cache_status;
        }}
    }}
"""
#: Puts something into every page, as monitoring does, and sets headers of its own.
CHANGING = """
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_set_header Accept-Encoding "";
            proxy_hide_header Lockstep-Activation;
            proxy_hide_header Set-Cookie;
            proxy_hide_header Cache-Control;
            add_header Cache-Control "max-age=60";
            sub_filter_types text/javascript;
            sub_filter_once off;
            sub_filter "console.log" "spy.log";
        }}
    }}
"""

#: Another site: it has a page for everything.
ELSEWHERE = """
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{upstream} is not here"; }}
    }}
"""
BAD = b"console.log('bad')"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("doctor")
    with Lab.up(directory / "lab", 3) as lab:
        made = Operator(directory, lab)
        with made.standalone():
            made.builds("1.0.0", OLD)
            made.builds("2.0.0", NEW)
            assert made.types("deploy", "web", "ToDo=1.0.0").code == 0
            yield made


def asks(operator: Operator, *options: str, url: str = "") -> Said:
    return operator.types("ota", "doctor", url or operator.lab.url, "--app", "ToDo", *options)


def codes(said: Said) -> dict[str, list[str]]:
    """Finding -> where."""
    found: dict[str, list[str]] = {}
    for finding in said.document["findings"]:
        found.setdefault(finding["code"], []).extend(finding["where"])
    return found


@contextmanager
def proxy(operator: Operator, name: str, http: str) -> Iterator[str]:
    directory = operator.directory / name
    (port,) = free_ports(1)
    with nginx(directory, http.format(directory=directory, port=port, upstream=operator.lab.url), [port]):
        yield f"http://127.0.0.1:{port}"


def release(operator: Operator, name: str, path: str) -> Path:
    """A file as it lies on a frontend's disk."""
    root = operator.lab.frontend(name).root
    return (root / "current" / "ToDo").resolve() / path


def replace(path: Path, content: bytes) -> bytes:
    """Another file in place of a read-only one; what it held before."""
    before = path.read_bytes()
    parent = path.parent
    parent.chmod(0o755)
    new = parent / "new"
    new.write_bytes(content)
    new.replace(path)
    parent.chmod(0o555)
    return before


def point(operator: Operator, name: str, activation: str) -> None:
    root = operator.lab.frontend(name).root
    (root / "by-hand").symlink_to(f"activations/{activation}")
    (root / "by-hand").replace(root / "current")


def test_one_fault_after_the_other_is_named_and_all_is_well_again(operator: Operator) -> None:
    lab = operator.lab
    first = operator.served()["fe1"]
    with proxy(operator, "caching", CACHING) as cached:
        for path in ("moduleservices/moduleversioninfo", "", PART.replace(" ", "%20")):
            assert " 200 " in fetch(f"{cached}/ToDo/{path}")
        assert operator.types("deploy", "web", "ToDo=2.0.0").code == 0
        second = operator.served()["fe1"]
        # The deployment leaves one to each frontend, for the next.
        connected = {frontend.name: lab.sshd(frontend.name).children() for frontend in lab.frontends}

        # ── all is well ──
        said = asks(operator, "--all", "--json")
        assert said.code == 0, (said.output, said.messages)
        document = said.document
        assert (document["verdict"], document["findings"]) == ("well", [])
        assert document["checked"] == {"files": len(NEW), "of": len(NEW)}
        assert [row["disk"] for row in document["frontends"]] == [second] * 3
        assert {row["served"] for row in [*document["frontends"], document["address"]]} == {second}
        assert {row["token"] for row in [*document["frontends"], document["address"]]} == {document["release"]["token"]}
        # The looks have left no connection behind.
        wait_until(lambda: all(lab.sshd(name).children() <= before for name, before in connected.items()))
        text = asks(operator)
        assert text.code == 0
        assert "all is well" in text.output
        assert "asking 4 addresses" in text.messages

        # ── a cache before the fleet ──
        said = asks(operator, "--fleet", "web", "--all", "--json", url=cached)
        assert said.code == 1
        found = codes(said)
        assert found["stale-cache"] == ["the public address"], said.output
        (stale,) = [each for each in said.document["findings"] if each["code"] == "stale-cache"]
        assert first in stale["found"]
        assert "x-cache: HIT" in stale["found"]
        assert set(found) <= {"stale-cache", "kept-answer", "stripped-cookie"}, said.output

    # ── something that changes content ──
    with proxy(operator, "changing", CHANGING) as changed:
        said = asks(operator, "--fleet", "web", "--all", "--json", url=changed)
        assert said.code == 1
        assert set(codes(said)) == {
            "changed-content",
            "changed-cache-control",
            "stripped-activation",
            "stripped-cookie",
        }, said.output
        alone = asks(operator, "--file", PART, "--json", url=changed)
        assert (alone.code, set(codes(alone))) == (1, {"other-bytes", "address-alone"}), alone.output

    # ── another site altogether ──
    with proxy(operator, "elsewhere", ELSEWHERE) as other:
        assert codes(asks(operator, "--fleet", "web", "--json", url=other)) == {"other-content": ["the public address"]}

    # ── a file damaged on a disk ──
    part = release(operator, "fe2", PART)
    kept = replace(part, BAD)
    said = asks(operator, "--file", f"/ToDo/{PART}".replace(" ", "%20"), "--json")
    assert (said.code, codes(said)) == (1, {"damaged-content": ["fe2"]}), said.output
    values = {row["frontend"]: row["file"] for row in said.document["frontends"]}
    right, wrong = Hasher.of([NEW[PART]]), Hasher.of([BAD])
    assert said.document["file"]["manifest"] == right.ota
    assert values["fe1"] == dict.fromkeys(("moduleinfo", "disk", "by_hash", "by_path"), right.ota)
    assert values["fe2"] == {**values["fe1"], "disk": f"SHA-256 {wrong.sha256}", "by_path": wrong.ota}
    replace(part, kept)

    # ── a frontend that somebody put back by hand ──
    point(operator, "fe3", first)
    text = asks(operator, "--file", PART)
    assert text.code == 1
    assert "wrong: fe3: old content" in text.output
    assert "1 finding" in text.output
    assert "lockstep readmit Lab/web" in text.output
    assert Hasher.of([OLD[PART]]).ota in text.output
    point(operator, "fe3", second)

    # ── a web server that serves another tree than its own ──
    lab.serve_elsewhere("fe1", lab.frontend("fe2").root)
    kept = replace(release(operator, "fe2", PART), BAD)
    assert codes(asks(operator, "--all", "--json")) == {"web-server-differs": ["fe1"], "damaged-content": ["fe2"]}
    replace(release(operator, "fe2", PART), kept)
    lab.serve_elsewhere("fe1", lab.frontend("fe1").root)

    # ── what is no fault, but good to know ──
    held = operator.reads("deploy", "web", "ToDo=1.0.0", "--hold")["id"]
    assert operator.types("drain", "web", "fe3", "--reason", "new disk").code == 0
    text = asks(operator)
    assert text.code == 0, text.output
    assert "note: fe3: drained" in text.output
    assert f"deployment {held} is not finished: prepared" in text.output
    assert f"lockstep continue {held}" in text.output
    assert "new disk" in text.output

    # ── what nobody can find out ──
    lab.stop_sshd("fe1")
    lab.stop_nginx("fe2")
    said = asks(operator, "--json")
    found = {"unseen-disk": ["fe1"], "silent-frontend": ["fe2"], "drained": ["fe3"], "open-deployment": []}
    assert (said.code, codes(said)) == (3, found), said.output
    assert {row["frontend"]: row["disk"] for row in said.document["frontends"]}["fe1"] is None
    lab.start_sshd("fe1")
    lab.start_nginx("fe2")
    assert operator.types("abort", str(held)).code == 0


def test_a_file_that_the_release_does_not_list_is_said_to_be_none_of_it(operator: Operator) -> None:
    said = asks(operator, "--file", "scripts/part 1ü.js", "--json")
    assert (said.code, set(codes(said)) - {"drained"}) == (1, {"not-listed"})
    assert PART in said.output


def test_without_a_broker_it_goes_on_without_the_disks_and_says_so(operator: Operator) -> None:
    home = operator.home
    elsewhere = {
        "LOCKSTEP_HOME": str(operator.directory / "nobody"),
        "LOCKSTEP_LEDGER_URL": f"sqlite:///{home / 'ledger.sqlite'}",
        "LOCKSTEP_ARTIFACTS": str(home / "artifacts"),
    }
    blind = Operator(operator.directory, operator.lab, elsewhere)
    said = asks(blind, "--json")
    assert (said.code, sorted(codes(said)["unseen-disk"])) == (3, ["fe1", "fe2", "fe3"]), said.output
    assert {row["disk"] for row in said.document["frontends"]} == {None}
    assert "nobody looks at the disks: no broker is configured" in said.messages
    assert said.document["address"]["files"]["wrong"] == 0


def test_an_address_where_nobody_answers_is_not_well(operator: Operator) -> None:
    (port,) = free_ports(1)
    said = asks(operator, "--json", url=f"http://127.0.0.1:{port}")
    assert (said.code, set(codes(said))) == (3, {"silent-address", "address-alone", "nothing-examined"})


@pytest.mark.parametrize(
    "options", [["--fleet", "nobody"], ["--mount", "/ToDo/"], ["--seconds", "0"], ["--app", "Portal"]]
)
def test_what_can_not_be_understood_exits_with_2(operator: Operator, options: list[str]) -> None:
    assert asks(operator, *options).code == 2
