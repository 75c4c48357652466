"""The observer against servers that stall, break off or send what nobody asked for."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.ota.fetcher import Limits
from orchestrator.ota.observer import observe
from orchestrator.ota.tally import Count, Kind, Tally
from orchestrator.ota.target import Target
from tests.integration.cut_off import run_and_cut_off
from tests.integration.nginx import free_ports
from tests.integration.observing import BOUND, only, run, run_against


def test_nobody_listening_is_an_error() -> None:
    (port,) = free_ports(1)
    tally = run(f"http://127.0.0.1:{port}", lambda tally: bool(tally.kinds))
    assert only(tally, Kind.CONNECTION), tally.document()


async def request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_a_server_that_stalls_runs_out_of_time(begins: bytes) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(begins)
        await reader.read()

    tally = run_against(stall, lambda tally: bool(tally.kinds), limits=Limits(seconds=0.2))
    assert only(tally, Kind.TIMEOUT), tally.document()


def test_a_server_that_drips_runs_out_of_time_though_it_never_pauses_for_long() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    tally = run_against(drip, lambda tally: bool(tally.kinds), limits=Limits(seconds=0.3))
    assert only(tally, Kind.TIMEOUT), tally.document()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Kind.CONNECTION),
        (b"", Kind.CONNECTION),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno", Kind.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nLockstep-Activation: \xff\r\nContent-Length: 2\r\n\r\n{}", Kind.MALFORMED),
        (b"HTTP/1.1 302 Found\r\nLocation: http://xn--\xff/\r\nContent-Length: 0\r\n\r\n", Kind.REDIRECT),
        (b"HTTP/1.1 302 Found\r\nLocation: mailto:x\r\nContent-Length: 0\r\n\r\n", Kind.REDIRECT),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Kind.REDIRECT),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: \x00;=;;Expires=never\r\nContent-Length: 2\r\n\r\n[]", None),
    ],
)
def test_whatever_a_server_sends_is_an_error_and_never_a_crash(answer: bytes, kind: Kind | None) -> None:
    async def misbehave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)

    tally = run_against(misbehave, lambda tally: tally.kinds.total() >= 5)
    assert tally.checks == 0
    assert tally.of(Count.ERRORS) == tally.kinds.total()
    if kind is not None:
        assert only(tally, kind), tally.document()


def test_a_kept_connection_that_closes_under_a_request_is_asked_again() -> None:
    async def close_on_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        body = b'{"versionToken":"x"}'
        head = b"HTTP/1.1 %s\r\nLockstep-Activation: 1-0000000000000001\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (b"200 OK", len(body)) + body)
        await request(reader)

    tally = run_against(close_on_the_second, lambda tally: tally.resent > 0)
    assert Kind.CONNECTION not in tally.kinds, tally.document()


def test_requests_say_who_asks_and_each_client_keeps_its_own_cookies() -> None:
    requests: dict[str, list[str]] = {}

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = "{}:{}".format(*writer.get_extra_info("peername"))
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            requests.setdefault(peer, []).append(head.decode().lower())
            writer.write(
                f"HTTP/1.1 503 Busy\r\nSet-Cookie: lockstep={peer}; Path=/\r\nContent-Length: 0\r\n\r\n".encode()
            )

    run_against(keep, lambda _: len(requests) == 2 and all(len(heads) >= 3 for heads in requests.values()))
    for peer, (first, *later) in requests.items():
        assert first.startswith("get /app/moduleservices/moduleversioninfo?")
        assert "\r\nlockstep-observer: 1\r\n" in first
        assert "\r\nuser-agent: lockstep-observe/" in first
        assert "cookie:" not in first
        for head in later:
            assert f"\r\ncookie: lockstep={peer}\r\n" in head


def test_a_new_connection_that_closes_is_not_asked_again() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)

    tally = run_against(close, lambda tally: tally.kinds.total() >= 5)
    assert only(tally, Kind.CONNECTION), tally.document()
    assert tally.resent == 0


def test_an_error_of_the_observers_own_is_raised() -> None:
    (port,) = free_ports(1)

    def fail(_: Tally) -> None:
        raise ZeroDivisionError

    target = Target.of(f"http://127.0.0.1:{port}", "App")
    with pytest.raises(ZeroDivisionError):
        run_and_cut_off(observe(target, clients=1, duration=BOUND, on_progress=fail, progress_seconds=0.01))
