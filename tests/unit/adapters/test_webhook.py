"""Webhooks against real servers: what is sent, what counts as taken, and that nothing waits long or tells a secret."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inventory.hooks import Webhook
from orchestrator.adapters.webhook import WebhookReceiver
from orchestrator.domain.delivery import Answer, event_of
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.signature import WrongSignatureError, verify
from orchestrator.domain.trail import Action, Entry
from tests.unit.adapters.listener import Listener, closed_port, drip, hang

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVENT = Entry(7, NOW, Action("deployment.done", "ada", "Production/web", 17, {"name": "ü"}), "", "")
KEY = "planted-key-0123456789abcdef"
SECRETS = (KEY, "planted-password", "planted-path", "planted-query")


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Listener().listening() as listener:
        yield listener


def receiver(tmp_path: Path, url: str, *keys: str, seconds: float = 10.0) -> WebhookReceiver:
    secret = tmp_path / "chatops.secret"
    secret.write_text("\n".join(keys or (KEY,)))
    secret.chmod(0o600)
    hook = Webhook.model_validate({"name": "chatops", "url": url, "secret_file": str(secret)})
    return WebhookReceiver(hook, lambda: NOW, seconds)


def test_the_event_is_posted_and_its_signature_is_right(tmp_path: Path, listener: Listener) -> None:
    answer = receiver(tmp_path, f"{listener.url}/in?x=1").send("7-webhook/chatops", EVENT)
    assert answer == Answer(taken=True, status=200)
    (got,) = listener.got
    assert (got.path, got.headers["content-type"]) == ("/in?x=1", "application/json")
    assert json.loads(got.body) == event_of(EVENT)
    headers = tuple(got.headers.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    assert verify([KEY.encode()], headers, got.body, NOW.timestamp(), 0) == "7-webhook/chatops"  # type: ignore[arg-type]
    with pytest.raises(WrongSignatureError):
        verify([b"another-key-0123456789"], headers, got.body, NOW.timestamp(), 0)  # type: ignore[arg-type]


def test_while_a_key_is_turned_over_either_key_verifies(tmp_path: Path, listener: Listener) -> None:
    receiver(tmp_path, listener.url, "the-new-key-0123456789", "the-old-key-0123456789").send("7-x", EVENT)
    (got,) = listener.got
    headers = tuple(got.headers.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    for key in (b"the-new-key-0123456789", b"the-old-key-0123456789"):
        assert verify([key], headers, got.body, NOW.timestamp(), 0) == "7-x"  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_is_taken(tmp_path: Path, listener: Listener, status: int) -> None:
    listener.status, listener.content = status, b""
    assert receiver(tmp_path, listener.url).send("7-x", EVENT) == Answer(taken=True, status=status)


@pytest.mark.parametrize(
    ("status", "headers", "wait", "gone"),
    [
        (301, {"Location": "/elsewhere"}, None, False),
        (307, {"Location": "/elsewhere"}, None, False),
        (400, {}, None, False),
        (401, {}, None, False),
        (404, {}, None, False),
        (410, {}, None, True),
        (500, {"Retry-After": "7"}, None, False),
        (429, {}, None, False),
        (429, {"Retry-After": "7"}, 7.0, False),
        (503, {"Retry-After": "7"}, 7.0, False),
        (503, {"Retry-After": "Fri, 01 May 2026 12:01:00 GMT"}, 60.0, False),
        (503, {"Retry-After": "Fri, 01 May 2026 11:59:00 GMT"}, -60.0, False),
        (503, {"Retry-After": "soon"}, None, False),
        (503, {"Retry-After": "-7"}, None, False),
        (503, {"Retry-After": "9" * 400}, 999999999.0, False),
        (503, {"Retry-After": "Fri, 01 May 2026 12:01:00"}, None, False),
    ],
)
def test_what_is_not_taken(
    tmp_path: Path, listener: Listener, status: int, headers: dict[str, str], wait: float | None, gone: bool
) -> None:
    listener.status, listener.headers = status, headers
    answer = receiver(tmp_path, listener.url).send("7-x", EVENT)
    assert (answer.taken, answer.status, answer.wait, answer.gone) == (False, status, wait, gone)
    assert answer.problem is not None
    assert (answer.problem.found, answer.problem.where) == (str(status), listener.url)
    assert [got.path for got in listener.got] == ["/"]  # whoever redirects is not followed


def test_a_closed_port_is_an_answer(tmp_path: Path, listener: Listener) -> None:
    del listener
    answer = receiver(tmp_path, closed_port().url).send("7-x", EVENT)
    assert (answer.taken, answer.status) == (False, None)
    assert answer.problem is not None
    assert answer.problem.what == "the receiver can't be reached"


@pytest.mark.parametrize("slowly", [hang, drip(b"HTTP/1.1 20"), drip(b"HTTP/1.1 200 OK\r\nA: ")])
def test_nobody_is_waited_for_longer_than_that(tmp_path: Path, listener: Listener, slowly: object) -> None:
    listener.slowly = slowly  # type: ignore[assignment]
    began = time.monotonic()
    answer = receiver(tmp_path, listener.url, seconds=0.3).send("7-x", EVENT)
    assert time.monotonic() - began < 5
    assert (answer.taken, answer.status) == (False, None)
    assert answer.problem is not None
    assert "did not answer within 0.3 s" in answer.problem.what


@pytest.mark.parametrize("head", [b"Content-Length: 900000000\r\n\r\n", b"Content-Length: 5\r\n\r\n", b"\r\n"])
def test_the_status_counts_however_the_body_goes_on(tmp_path: Path, listener: Listener, head: bytes) -> None:
    listener.slowly = drip(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\n" + head)
    answer = receiver(tmp_path, listener.url, seconds=0.3).send("7-x", EVENT)
    assert answer == Answer(taken=True, status=202)


def test_no_more_of_a_body_is_read_than_its_beginning(tmp_path: Path, listener: Listener) -> None:
    written = 0

    def flood(mine: Listener, write: object) -> None:
        nonlocal written
        write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")  # type: ignore[operator]
        while not mine.released.is_set():
            write(b"x" * 65536)  # type: ignore[operator]
            written += 65536

    listener.slowly = flood
    assert receiver(tmp_path, listener.url).send("7-x", EVENT).taken
    assert written < 32 * 1024 * 1024  # what fits into the sockets' buffers


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, listener: Listener) -> None:
    del listener
    with Listener(tls=self_signed(tmp_path)).listening() as pretender:
        answer = receiver(tmp_path, pretender.url).send("7-x", EVENT)
    assert not answer.taken
    assert answer.problem is not None
    assert answer.problem.found == "its TLS certificate is not trusted"
    assert pretender.got == []


def test_plain_http_is_not_taken_for_tls(tmp_path: Path, listener: Listener) -> None:
    answer = receiver(tmp_path, listener.url.replace("http:", "https:")).send("7-x", EVENT)
    assert not answer.taken
    assert answer.problem is not None
    assert answer.problem.found == "no TLS that both sides know"
    assert listener.got == []


def self_signed(directory: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for 127.0.0.1 that it made itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    (directory / "server.pem").write_bytes(made.public_bytes(encoding) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return context


def test_a_key_that_cannot_be_read_is_an_error_and_nothing_is_sent(tmp_path: Path, listener: Listener) -> None:
    mine = receiver(tmp_path, listener.url)
    Path(mine.hook.secret_file).chmod(0o644)
    with pytest.raises(LockstepError, match="others may use a file of secrets"):
        mine.send("7-x", EVENT)
    assert listener.got == []


@pytest.mark.parametrize("what", ["refused", "closed", "hangs", "no http"])
def test_no_secret_is_told(tmp_path: Path, listener: Listener, what: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    listener.status = 500
    if what == "hangs":
        listener.slowly = hang
    if what == "no http":
        listener.slowly = drip(b"planted-path planted-query\r\n\r\n")
    port = closed_port().port if what == "closed" else listener.port
    url = f"http://user:planted-password@127.0.0.1:{port}/planted-path?key=planted-query"
    answer = receiver(tmp_path, url, seconds=0.3).send("7-x", EVENT)
    assert answer.problem is not None
    assert answer.problem.where == f"http://127.0.0.1:{port}"
    # httpx logs addresses below WARNING, which `orchestrator.logs` never lets through.
    told = str(answer) + "".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert not any(secret in told for secret in SECRETS)
