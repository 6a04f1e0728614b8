"""The order line against servers that behave in every way that a server can."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tollgate_venues.line import Line, LineBroken

Serve = Callable[..., Awaitable[str]]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def heard(reader: asyncio.StreamReader) -> bytes:
    """Read one request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head + await reader.readexactly(length)


def answering(
    *answers: bytes, close: bool = False, requests: list[bytes] | None = None
) -> Callable[..., Awaitable[None]]:
    """Answer the requests of each connection one after the other, then hang or close."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            request = await heard(reader)
            if requests is not None:
                requests.append(request)
            writer.write(answer)
            await writer.drain()
        if close:
            writer.close()

    return reply


async def ask(line: Line, timeout_s: float = 2.0) -> tuple[int, bytes]:
    return await line.request("POST", "/x", {"a": "b"}, b"body", timeout_s)


async def test_a_request_goes_out_whole_and_its_connection_is_used_again(serve: Serve) -> None:
    requests: list[bytes] = []
    address = await serve(answering(ANSWER, ANSWER, requests=requests))
    line = Line(address)
    assert [await ask(line), await ask(line)] == [(200, b"ok")] * 2
    host = address.removeprefix("http://").encode()
    assert requests[0] == b"POST /x HTTP/1.1\r\nhost: " + host + b"\r\ncontent-length: 4\r\na: b\r\n\r\nbody"
    line.close()


async def test_requests_at_the_same_time_take_a_connection_each(serve: Serve) -> None:
    line = Line(await serve(answering(ANSWER)))
    assert list(await asyncio.gather(ask(line), ask(line))) == [(200, b"ok")] * 2
    line.close()


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", (200, b"ok")),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", (404, b"")),
    (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", (200, b"ok")),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
async def test_answers_are_read_as_http_says(serve: Serve, answer: bytes, expected: tuple[int, bytes]) -> None:
    line = Line(await serve(answering(answer)))
    assert await ask(line) == expected
    line.close()


async def test_a_connection_that_the_venue_has_closed_is_not_used_again(serve: Serve) -> None:
    line = Line(await serve(answering(ANSWER, close=True)))
    assert await ask(line) == (200, b"ok")
    await asyncio.sleep(0.05)  # the closing arrives
    assert await ask(line) == (200, b"ok")
    line.close()


async def test_an_answer_that_comes_too_late_is_nobodys_answer(serve: Serve) -> None:
    """The connection on which the deadline passed is closed; the next request goes over another."""
    connections = 0

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        first = connections == 1
        await heard(reader)
        await asyncio.sleep(0.2 if first else 0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlate!" if first else ANSWER)

    line = Line(await serve(reply))
    with pytest.raises(TimeoutError):
        await ask(line, timeout_s=0.1)
    await asyncio.sleep(0.2)
    assert await ask(line) == (200, b"ok")
    line.close()


BROKEN = [
    b"",
    b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\ncontent-le",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 5_000_000,
]


@pytest.mark.parametrize("answer", BROKEN, ids=["closed", "half a body", "half a head", "not http", "too large"])
async def test_whatever_is_not_a_whole_answer_breaks_the_line(serve: Serve, answer: bytes) -> None:
    line = Line(await serve(answering(answer, close=True)))
    with pytest.raises(LineBroken):
        await ask(line)
    assert line._idle == []


@pytest.mark.parametrize("more", [ANSWER, ANSWER[:20], b"H"])
async def test_bytes_that_nobody_asked_for_end_a_connection(serve: Serve, more: bytes) -> None:
    """What comes after an answer must not be taken for the answer to the next request."""
    line = Line(await serve(answering(ANSWER + more)))
    for _ in range(3):
        assert await ask(line) == (200, b"ok")
        assert line._idle == []


async def test_no_connection_is_said_at_once() -> None:
    with pytest.raises(LineBroken, match="no connection"):
        await ask(Line("http://127.0.0.1:1"))


async def test_a_cancelled_request_gives_its_connection_up(serve: Serve) -> None:
    line = Line(await serve(answering(b"")))
    asking = asyncio.create_task(ask(line))
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert line._idle == []


async def test_a_line_break_cannot_be_smuggled_in(serve: Serve) -> None:
    line = Line(await serve(answering(ANSWER)))
    for target, headers in (("/x HTTP/1.1\r\nhost: y", {}), ("/x", {"a": "b\r\nc: d"})):
        with pytest.raises(ValueError, match="line break"):
            await line.request("GET", target, headers, b"", 1)


@pytest.mark.parametrize("address", ["ftp://x", "127.0.0.1:5", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Line(address)
