"""Series of requests, many at once: against real sockets, in the thread that asks for all."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from pathlib import Path

import pycurl
import pytest

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.ota.documents import activation_document
from orchestrator.ota.expected import Expected
from tests.unit.adapters.test_webhook import self_signed
from tests.unit.workers.web import NAME, Web, page
from workers.frontend import serving
from workers.frontend.exchange import Exchange
from workers.frontend.serving import Served, Site, Verified

MANIFEST = b"the manifest"
PLACEMENT = Placement("ToDo", "/ToDo/", "1", hashlib.sha256(MANIFEST).hexdigest())
ACTIVATION = Activation.of(NAME, [PLACEMENT])
MANIFEST_PATH, DOCUMENT_PATH = f"/-/lockstep/manifest/{PLACEMENT.segment}", "/-/lockstep/activation"
FILES = [f"/ToDo/{number}.js" for number in range(20)]


def expected(path: str) -> Expected:
    return Expected(path, hashlib.sha256(path.encode()).hexdigest(), size=len(path))


EXPECTED = [expected(path) for path in FILES]
#: Its thread outlives every test: what ends does not end with it.
EXCHANGE = Exchange(idle_seconds=3600)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        made.pages = {
            MANIFEST_PATH: page(MANIFEST),
            DOCUMENT_PATH: page(activation_document(ACTIVATION)),
            **{path: page(path.encode()) for path in FILES},
        }
        yield made


def served(web: Web, seconds: float = 60, exchange: Exchange = EXCHANGE) -> Served:
    fleet = web.fleet(seconds)
    return Served(fleet, fleet.frontends[0], exchange=exchange)


def verification(asked: Served, wanted: Iterable[Expected], *, unpinned: bool = False) -> Verified:
    with asked.verifying(ACTIVATION, wanted, unpinned=unpinned) as answered:
        return answered()


def test_who_asks_does_something_else_meanwhile(web: Web) -> None:
    all_asked = threading.Event()

    def wanted() -> Iterator[Expected]:
        yield from EXPECTED
        all_asked.set()

    with served(web) as asked, asked.verifying(ACTIVATION, wanted()) as answered:
        assert all_asked.wait(30)
        assert answered().files == 20
    web.all_ended()


def test_who_goes_before_the_answer_gives_it_up(web: Web) -> None:
    with Web() as silent, served(silent) as asked:
        with pytest.raises(LookupError), asked.verifying(ACTIVATION, EXPECTED):
            assert silent.unanswered.get(timeout=30) == MANIFEST_PATH
            raise LookupError
        silent.all_ended()
    with served(web) as asked:
        assert verification(asked, EXPECTED).files == 20


def test_a_verification_asks_in_order_over_one_connection_and_leaves_none(web: Web) -> None:
    with served(web) as asked:
        verified = verification(asked, EXPECTED, unpinned=True)
        assert (verified.digests, verified.files) == ({"ToDo": PLACEMENT.digest}, 20)
        assert asked.requests == 23
    assert web.asked == [MANIFEST_PATH, DOCUMENT_PATH, *FILES, DOCUMENT_PATH]
    web.all_ended()
    assert web.open == 1


def test_many_are_asked_at_once_each_over_its_own_connection(web: Web) -> None:
    together = threading.Barrier(40)

    def verify(_: int) -> int:
        together.wait(30)
        with served(web) as asked:
            return verification(asked, EXPECTED).files

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(verify, range(40))) == 40 * 20
    assert len(web.asked) == 40 * 22
    web.all_ended()
    assert web.open == 40


def test_nothing_is_asked_behind_an_answer_that_is_wrong(web: Web) -> None:
    web.pages[FILES[3]] = page(b"something else"[: len(FILES[3])])
    with served(web) as asked, pytest.raises(RefusedError, match=rf"something else at {FILES[3]}"):
        verification(asked, EXPECTED, unpinned=True)
    assert web.asked == [MANIFEST_PATH, DOCUMENT_PATH, *FILES[:4]]
    web.all_ended()


def test_where_a_manifest_is_wrong_no_file_is_asked_for(web: Web) -> None:
    web.pages[MANIFEST_PATH] = page(b"another")
    with served(web) as asked:
        verified = verification(asked, EXPECTED, unpinned=True)
    assert (verified.digests, verified.files) == ({"ToDo": hashlib.sha256(b"another").hexdigest()}, 0)
    assert web.asked == [MANIFEST_PATH, DOCUMENT_PATH]


def test_one_that_never_answers_holds_nobody_up(web: Web) -> None:
    with ThreadPoolExecutor(1) as pool, Web() as silent:
        stuck = pool.submit(lambda: served(silent, 2).check(expected("/never"), NAME))
        assert silent.unanswered.get(timeout=30) == "/never"
        with served(web) as asked:
            assert verification(asked, EXPECTED).files == 20
        assert not stuck.done()
        with pytest.raises(UnansweredError, match="the frontend's web server does not answer"):
            stuck.result(30)


def test_the_time_is_for_the_whole_series(web: Web) -> None:
    with served(web, 0.3) as asked, pytest.raises(UnansweredError, match="does not answer"):
        verification(asked, repeat(EXPECTED[0]))
    assert len(web.asked) > 3
    web.all_ended()


def test_what_a_series_raises_is_its_callers_and_the_next_is_asked(web: Web) -> None:
    def some() -> Iterator[Expected]:
        yield EXPECTED[0]
        raise SystemExit("none left")

    with served(web) as asked, pytest.raises(SystemExit, match="none left"):
        verification(asked, some())
    web.all_ended()
    with served(web) as asked:
        assert verification(asked, EXPECTED).files == 20


def test_a_client_that_was_closed_is_its_callers_mistake(web: Web) -> None:
    with served(web) as asked:
        pass
    with pytest.raises(pycurl.error, match="no curl handle"):
        asked.drained()
    with served(web) as asked:
        asked.check(EXPECTED[0], NAME)


def test_who_is_interrupted_takes_the_request_back(web: Web) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def when_asked() -> None:
        web.unanswered.get(timeout=30)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        thread = threading.Thread(target=when_asked)
        thread.start()
        asked = served(web)
        with pytest.raises(KeyboardInterrupt):
            asked.check(expected("/never"), NAME)
        thread.join(30)
    finally:
        signal.signal(signal.SIGUSR1, before)
    # Its client is its own again, and what was in the middle of an answer has lost its connection.
    asked.check(EXPECTED[0], NAME)
    web.ended.get(timeout=30)
    assert web.open == 2
    asked.__exit__()
    web.ended.get(timeout=30)


def test_when_the_thread_dies_nobody_waits_for_it_and_another_begins(web: Web) -> None:
    others = set(threading.enumerate())
    exchange = Exchange()
    with ThreadPoolExecutor(1) as pool, served(web, exchange=exchange) as stuck, served(web, exchange=exchange) as late:
        waiting = pool.submit(stuck.check, expected("/never"), NAME)
        web.unanswered.get(timeout=30)
        asking = next(thread for thread in set(threading.enumerate()) - others if thread.name == "http-exchange")
        assert asking.ident is not None
        dies_after(asking.ident, lambda: late.check(EXPECTED[0], NAME))
        # It may have been in the middle of that very request.
        assert isinstance(waiting.exception(30), UnansweredError | SystemExit)
        asking.join(30)
        late.check(EXPECTED[0], NAME)


def dies_after(thread: int, ask: Callable[[], None]) -> None:
    """End the thread by an exception, which it meets as it wakes: where a request takes it instead, once more."""
    while True:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(SystemExit))
        try:
            ask()
        except UnansweredError as error:
            assert error.problem.what == "nobody asks over HTTP any more"
            return
        except SystemExit:
            continue


def test_a_thread_without_work_ends_and_a_client_outlives_it(web: Web) -> None:
    others = set(threading.enumerate())
    with served(web, exchange=Exchange(idle_seconds=0)) as asked:
        for path in FILES[:3]:
            asked.check(expected(path), NAME)
            for thread in set(threading.enumerate()) - others:
                if thread.name == "http-exchange":
                    thread.join(30)
                    assert not thread.is_alive()
    web.all_ended()
    assert web.open == 1


def test_a_certificate_that_the_system_vouches_for_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    serving._trust.cache_clear()
    try:
        with Web(context) as web:
            web.pages = {path: page(path.encode()) for path in FILES}
            with served(web) as asked:
                for one in EXPECTED:
                    asked.check(one, NAME)
            web.all_ended()
            assert web.open == 1
    finally:
        serving._trust.cache_clear()


def test_a_port_where_nobody_listens_is_an_answer_that_never_came() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with Site("f", f"http://127.0.0.1:{port}", 30) as asked, pytest.raises(UnansweredError, match="does not answer"):
        asked.get("/", None)
