"""receive from another frontend: what it sends is believed as little as anything else."""

from __future__ import annotations

import gzip
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.domain.activation import ActivationName
from tests.remote.frontend import Frontend, snapshot
from tests.remote.packs import Stage, content_member, sha256, tar
from workers.distribution.packs import Form
from workers.distribution.peers import pack_name

STAGE = Stage(1)
NAME = pack_name(ActivationName.parse(STAGE.activation), list(map(sha256, STAGE.contents)), Form.TAR).partition(".")[0]
GOOD = tar(map(content_member, STAGE.contents))
#: Far more than any test announces.
MUCH = 64 << 20


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A web server on loopback that answers every GET so; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the library asks for
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/-/lockstep/packs/{NAME}.tar"
        finally:
            server.shutdown()
            thread.join()


def sends(body: bytes, length: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return answer


def sends_without_end(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(GOOD)
    for _ in range(MUCH // len(GOOD)):
        request.wfile.write(bytes(len(GOOD)))
    request.wfile.write(GOOD)


@pytest.fixture
def fetcher(frontend: Frontend) -> Frontend:
    if shutil.which("curl", path=frontend.shell.path) is None:
        pytest.skip("no curl among these commands")
    return frontend


def fetch(frontend: Frontend, url: str, *, pack: str = "tar", size: int = len(GOOD), whole: int = len(GOOD)) -> str:
    return frontend.run("receive", STAGE.activation, pack, str(size), str(whole), "-", url).verdict


@pytest.mark.parametrize("pack", ["tar", f"{NAME}.tar"])
def test_what_another_frontend_has_is_taken_and_kept_only_where_it_is_to_be(fetcher: Frontend, pack: str) -> None:
    with served(sends(GOOD)) as url:
        assert fetch(fetcher, url, pack=pack) == "OK"
    assert fetcher.missing(STAGE.object_lines) == []
    kept = {path.name: path.read_bytes() for path in (fetcher.root / "packs").iterdir()}
    assert kept == ({pack: GOOD} if pack != "tar" else {})
    assert fetcher.names("incoming") == set()


@pytest.mark.parametrize("pack", ["tgz", f"{NAME}.tgz"])
def test_a_compressed_one_is_unpacked_up_to_what_was_announced(fetcher: Frontend, pack: str) -> None:
    good = gzip.compress(GOOD)
    bomb = gzip.compress(GOOD + bytes(MUCH))
    with served(sends(bomb)) as url:
        before = snapshot(fetcher.root)
        assert fetch(fetcher, url, pack=pack, size=len(bomb)) in {"FAILED pack", "FAILED peer"}
        assert snapshot(fetcher.root) == before
    with served(sends(good)) as url:
        assert fetch(fetcher, url, pack=pack, size=len(good)) == "OK"
    assert fetcher.missing(STAGE.object_lines) == []


LIES: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "another object under a name": sends(GOOD.replace(STAGE.document, STAGE.document[::-1])),
    "half of it": sends(GOOD[:700], len(GOOD)),
    "half of it, whole": sends(GOOD[:700]),
    "nothing": sends(b""),
    "a pack of nothing": sends(tar(())),
    "all but one": sends(tar(map(content_member, STAGE.contents[1:]))),
    "names without end": sends(tar(content_member(f"{n}".encode()) for n in range(200))),
    "no tar": sends(bytes(range(256)) * (len(GOOD) // 256)),
    "not found": lambda request: request.send_error(404),
    "somewhere else": lambda request: request.send_error(302),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("pack", ["tar", f"{NAME}.tar"])
def test_a_frontend_that_sends_something_else_is_told_from_all_other_trouble(
    fetcher: Frontend, lie: str, pack: str
) -> None:
    before = snapshot(fetcher.root)
    with served(LIES[lie]) as url:
        assert fetch(fetcher, url, pack=pack) in {"FAILED peer", "FAILED pack", "FAILED hash"}
    assert snapshot(fetcher.root) == before


@pytest.mark.parametrize("pack", ["tar", f"{NAME}.tar"])
def test_one_that_sends_without_end_fills_no_disk(fetcher: Frontend, pack: str) -> None:
    before = snapshot(fetcher.root)
    with served(sends_without_end) as url:
        verdict = fetch(fetcher, url, pack=pack)
    assert verdict == "FAILED peer"
    assert snapshot(fetcher.root) == before


def test_one_that_can_not_be_reached_is_told(fetcher: Frontend) -> None:
    with served(sends(GOOD)) as url:
        pass
    assert fetch(fetcher, url) == "FAILED peer"


def test_without_curl_nothing_is_fetched(frontend: Frontend) -> None:
    if shutil.which("curl", path=frontend.shell.path) is not None:
        pytest.skip("there is a curl")
    assert fetch(frontend, "http://127.0.0.1:1/x") == "FAILED nocurl"


@pytest.mark.parametrize(
    "words",
    [
        *(
            ["zip"],
            [NAME],
            [f"{NAME}.zip"],
            [f"{NAME[1:]}.tar"],
            [f"{NAME}.tar.tar"],
            [f"../{NAME[3:]}.tar"],
            ["tar", "1"],
        ),
        *(["tar", "0", "1", "-", "http://x"], ["tar", "1", "-1", "-", "http://x"], ["tar", "1", "x", "-", "http://x"]),
        *(["tar", "1", "1", "-x", "http://x"], ["tar", "1", "1", "", "http://x"], ["tar", "1", "1", "a b", "http://x"]),
        *(
            ["tar", "1", "1", "-", odd]
            for odd in ("", "x", "file:///etc/passwd", "http://", "http://a b", "http://a\n")
        ),
        *(["tar", "1", "1", "-", odd] for odd in ("-http://x", "http://$(id)", "http://a;id", 'http://x"y', "ftp://x")),
    ],
)
def test_only_the_exact_form_of_a_source_is_accepted(frontend: Frontend, words: list[str]) -> None:
    assert frontend.run("receive", STAGE.activation, *words).verdict == "REFUSED words"


def test_packs_go_when_the_frontend_is_verified_or_disarmed(frontend: Frontend) -> None:
    for end in ("verify", "disarm"):
        assert frontend.run("receive", STAGE.activation, f"{NAME}.tar", stdin=GOOD).verdict == "OK"
        assert (frontend.root / "packs" / f"{NAME}.tar").read_bytes() == GOOD
        assert frontend.run("assemble", STAGE.activation, stdin=STAGE.links_pack()).verdict == "OK"
        assert frontend.run(end, STAGE.activation).verdict == "OK"
        assert frontend.names("packs") == set()


def test_a_release_that_is_not_whole_is_missing(frontend: Frontend) -> None:
    line = f"{STAGE.release} {len(STAGE.files)}\n".encode()
    assert frontend.missing(line) == [STAGE.release]
    frontend.stage(STAGE)
    assert frontend.missing(line) == []
    assert frontend.missing(f"{STAGE.release} {len(STAGE.files) + 1}\n".encode()) == [STAGE.release]
    release = frontend.root / "releases" / STAGE.release
    release.chmod(0o755)
    (release / "more").write_bytes(b"more")
    assert frontend.missing(line) == [STAGE.release]
    (release / "more").unlink()
    (release / "index.html").unlink()
    (release / "index.html").write_bytes(b"<!doctype html>\n")
    assert frontend.missing(line + f"{sha256(b'x')}\n".encode()) == [STAGE.release, sha256(b"x")]
