"""How the doctor asks, against servers that say what they like: nothing raised, nothing followed, nothing endless."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.ota.doctor.asker import PATIENCE, Address, Subject, ask_all, ask_alone
from orchestrator.ota.doctor.observations import Reply, Silence, Visit
from orchestrator.ota.doctor.questions import Kind, Question, Wanted
from orchestrator.ota.target import Target
from tests.integration.cut_off import run_and_cut_off
from tests.integration.nginx import free_ports

Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
#: An answer in time takes no longer on a busy machine; who waits for one that never comes waits `SOON`.
LONG, SOON = 60.0, 0.3
VERSION = Question(Kind.VERSION, "/App/moduleservices/moduleversioninfo?1", Wanted())
FILE = Question(Kind.BY_HASH, "/App/a.js?" + "x" * 22, Wanted.of_bytes(b"four"), "a.js")
NAME = b"7-0123456789abcdef"


@asynccontextmanager
async def serving(serve: Serving) -> AsyncIterator[str]:
    """The URL of a server that speaks for itself, connection by connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()  # the asker has gone
        finally:
            writer.close()

    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def against(serve: Serving, questions: Sequence[Question], *, seconds: float = LONG, host: str | None = None) -> Visit:
    async def asked() -> Visit:
        async with serving(serve) as url:
            (visit,) = await ask_all([Address("fe1", url, host)], questions, Subject("/App/"), seconds)
            return visit

    return run_and_cut_off(asked())


def saying(answer: bytes) -> Serving:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    return say


def ok(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def only_reply(visit: Visit) -> Reply:
    (reply,) = visit.replies.values()
    assert isinstance(reply, Reply), reply
    return reply


def test_an_answer_brings_what_the_doctor_looks_at() -> None:
    headers = (
        b"Lockstep-Activation: " + NAME,
        b"Set-Cookie: lockstep=" + NAME + b"; Path=/",
        b"Age: 3",
        b"X-Cache: HIT\x01",
        b"Cache-Control: no-store",
    )
    reply = only_reply(against(saying(ok(b'{"versionToken":"abc"}', *headers)), [VERSION]))
    assert (reply.status, reply.name, reply.token, reply.pin) == (200, ActivationName.parse(NAME.decode()), "abc", True)
    assert {name: reply.cache[name] for name in ("age", "cache-control")} == {"age": "3", "cache-control": "no-store"}
    assert reply.kept
    assert all(value.isprintable() for value in reply.cache.values())


def test_nothing_is_followed_and_nothing_sent_but_what_is_meant() -> None:
    heads: list[str] = []

    async def move(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
            writer.write(ok(b"", b"Location: /elsewhere", b"Set-Cookie: lockstep=x", status=b"302 Found"))

    visit = against(move, [VERSION, FILE], host="app.example.com")
    assert [reply.status for _, reply in visit.answered] == [302, 302]
    assert [head.split(" ")[1] for head in heads] == [VERSION.url.lower(), FILE.url.lower()]
    for head in heads:
        assert "\r\nhost: app.example.com\r\n" in head
        assert head.count("\r\nhost:") == 1
        assert "cookie:" not in head


def test_more_than_the_release_has_is_not_read_to_its_end() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            writer.write(b" " * 65_536)
            await writer.drain()

    reply = only_reply(against(pour, [FILE]))
    assert not reply.gives(FILE)
    assert str(reply).startswith("more than ")


def test_a_compressed_answer_counts_as_what_it_holds_and_a_bomb_as_too_much() -> None:
    encoded = b"Content-Encoding: gzip"
    assert only_reply(against(saying(ok(gzip.compress(b"four"), encoded)), [FILE])).gives(FILE)
    assert not only_reply(against(saying(ok(gzip.compress(b"\0" * 100_000_000), encoded)), [FILE])).gives(FILE)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        ok(b"no", b"Content-Encoding: gzip"),
    ],
)
def test_what_is_no_answer_is_silence(answer: bytes) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    (reply,) = against(break_off, [FILE]).replies.values()
    assert isinstance(reply, Silence), reply


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"versionToken":7}', b'{"versionToken":"a b"}', b"\xff", b"[" * 100_000]
)
def test_a_document_that_is_none_has_no_token(body: bytes) -> None:
    reply = only_reply(against(saying(ok(body, b"Lockstep-Activation: \xff; 1")), [VERSION]))
    assert (reply.status, reply.token, reply.name, reply.pin) == (200, "", None, False)


def test_who_is_silent_again_and_again_is_asked_no_more() -> None:
    asked: list[bytes] = []

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await reader.read()

    questions = [Question(Kind.BY_PATH, f"/App/{n}.js", Wanted(), f"{n}.js") for n in range(50)]
    visit = against(stall, questions, seconds=SOON)
    assert len(visit.silent) == 50
    assert len(asked) == PATIENCE


def test_a_kept_connection_that_closes_under_a_request_is_asked_again() -> None:
    async def close_after_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"four"))
        await reader.readuntil(b"\r\n\r\n")

    visit = against(close_after_one, [FILE, Question(Kind.BY_PATH, "/App/a.js", FILE.expected, "a.js")])
    assert [reply.gives(question) for question, reply in visit.answered] == [True, True]


def test_nobody_listening_is_silence_and_says_so() -> None:
    (port,) = free_ports(1)
    addresses = [Address(name, f"http://127.0.0.1:{port}") for name in ("fe1", "fe2")]
    visits = run_and_cut_off(ask_all(addresses, [VERSION], Subject("/App/")))
    assert [visit.name for visit in visits] == ["fe1", "fe2"]
    for visit in visits:
        (silence,) = (silence for _, silence in visit.silent)
        assert "ConnectError" in silence.reason


def alone(answers: Mapping[str, bytes]) -> tuple[Visit, list[str]]:
    """Ask an address of which only its own documents are known; and what it was asked for."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            asked.append(path)
            found = next((body for begin, body in answers.items() if path.startswith(begin)), None)
            writer.write(ok(b"gone", status=b"404 Not Found") if found is None else ok(found))

    async def run() -> Visit:
        async with serving(serve) as url:
            target = Target.of(url, "App")
            visit, _, moved = await ask_alone(
                Address("", target.base_url), target, 1, lambda manifest: list(manifest.files)
            )
            assert not moved
            return visit

    return run_and_cut_off(run()), asked


def test_without_a_fleet_the_address_own_manifest_says_what_must_come() -> None:
    ota = FILE.expected.ota
    info = f"""{{"manifest":{{"versionToken":"t","urlVersions":{{"/App/a.js":"?{ota}"}},"urlMappings":{{}},
        "urlMappingsNoCache":{{}}}},"data":{{"modules":{{}}}}}}""".encode()
    services = "/App/moduleservices/module"
    answers = {f"{services}versioninfo": b'{"versionToken":"t"}', f"{services}info?t": info, "/App/a.js?": b"four"}
    visit, asked = alone(answers)
    judged = {(question.kind, reply.gives(question)) for question, reply in visit.answered if question.path}
    assert judged == {(Kind.BY_HASH, True), (Kind.BY_PATH, False)}
    assert f"/App/a.js?{ota}" in asked


@pytest.mark.parametrize("version", [b"<html>", b'{"versionToken":"../../x"}'])
def test_without_a_token_nothing_more_is_asked(version: bytes) -> None:
    visit, asked = alone({"/App/moduleservices/moduleversioninfo": version})
    assert len(visit.replies) == 1
    assert {path.partition("?")[0] for path in asked} == {"/App/moduleservices/moduleversioninfo"}


def test_an_address_that_changes_its_version_meanwhile_says_nothing_at_one_moment() -> None:
    tokens = iter([b"a", b"b"])

    async def flip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            token = next(tokens, b"b") if b"versioninfo" in asked else b""
            writer.write(ok(b'{"versionToken":"%s"}' % token))

    async def run() -> bool:
        async with serving(flip) as url:
            target = Target.of(url, "App")
            return (await ask_alone(Address("", url), target, 1, lambda _: []))[2]

    assert run_and_cut_off(run())
