"""What goes over the network, and what becomes of an answer that is none."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from midspec.llm.attempts import Failure
from midspec.llm.sender import Sender
from midspec.llm.wire import Wire
from tests.fakes import KEY, Answer, Loopback

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that says one thing to everybody, then hangs up; its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
                if tls:
                    connection = tls.wrap_socket(connection, server_side=True)
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def post(url: str, **headers: str) -> Any:
    async def go() -> Any:
        sender = Sender(timeout_s=5)
        try:
            return await sender._post(Wire("openai", url, headers, ()), b'{"model": "m"}')
        finally:
            await sender.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "connection closed before message completed"),
        (b"SSH-2.0\r\n\r\n", "invalid HTTP version"),
        (OK + b'Content-Length: 99\r\n\r\n{"a": 1}', "end of file before message length reached"),
        (OK + b"Content-Length: 0\r\n\r\n", "not JSON.*EOF"),
        (OK + b"Content-Length: 5\r\n\r\nhello", "not JSON.*line 1 column 1"),
        (OK + b'Content-Length: 3\r\n\r\n"\xff"', "not JSON.*unicode"),
        (OK + b'Content-Length: 8\r\n\r\n"\\ud800"', "not JSON.*hex escape"),
    ],
    ids=["dropped", "other protocol", "cut", "empty", "text", "no UTF-8", "half a character"],
)
def test_an_answer_that_is_none_is_asked_for_again(answer: bytes, says: str) -> None:
    with answering(answer) as place, pytest.raises(Failure, match=says) as caught:
        post(f"http://{place}/v1/chat/completions")
    assert caught.value.retry
    assert not caught.value.unreachable


def test_what_a_busy_server_says_is_heard() -> None:
    answer = b"HTTP/1.1 529 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    with answering(answer) as place, pytest.raises(Failure, match="HTTP 529: busy") as caught:
        post(f"http://{place}/v1/chat/completions")
    assert (caught.value.overload, caught.value.wait_s) == (True, 7)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "nobody.invalid"])
def test_a_server_that_is_not_there_is_unreachable(host: str) -> None:
    with pytest.raises(Failure, match="ConnectError") as caught:
        post(f"http://{host}/v1")
    assert caught.value.unreachable


@pytest.mark.parametrize(("url", "key"), [("a/v1", KEY), ("http://127.0.0.1:9/v1", f"{KEY}\n")])
def test_what_cannot_be_sent_is_said_without_the_key(url: str, key: str) -> None:
    with pytest.raises(Failure, match=f"'{url}' is no whole URL, or the key has") as caught:
        post(url, authorization=f"Bearer {key}")
    assert caught.value.unreachable
    assert not caught.value.retry
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_certificates_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Against those of the machine, which SSL_CERT_FILE may name; one without any has certifi's."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with answering(OK + b"Content-Length: 2\r\n\r\n[]", context) as place:
        with pytest.raises(Failure, match="UnknownIssuer"):
            post(f"https://{place}/v1")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert post(f"https://{place}/v1") == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
        with pytest.raises(Failure, match="UnknownIssuer"):
            post(f"https://{place}/v1")


def test_the_proxy_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(lambda body: Answer("hello")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "localhost")
        found = post("http://model.invalid/v1/chat/completions")
        monkeypatch.setenv("no_proxy", "model.invalid")
        with pytest.raises(Failure, match="ConnectError"):
            post("http://model.invalid/v1/chat/completions")
    assert found["choices"][0]["message"]["content"] == "hello"
    assert len(proxy.bodies) == 1
