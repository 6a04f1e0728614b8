"""Reading metrics off the services themselves, and out of a Prometheus: the same readings, in bounded time."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from tollgate_console.doctor.prometheus import look_back
from tollgate_console.doctor.window import watch
from tollgate_console.exits import ConsoleError, ConsoleExit

Answer = Callable[[str], tuple[int, str]]
NAMES = ("tollgate_live", "tollgate_cycle_id")


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Serve what a function answers to a body, and return where."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                status, text = answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def clock(cycle_s: float) -> Answer:
    began = time.monotonic()
    return lambda _: (200, f"tollgate_live 1\ntollgate_cycle_id {int((time.monotonic() - began) / cycle_s)}\n")


async def test_each_service_is_read_once_a_cycle_until_the_clock_has_gone_on(serve: Callable[[Answer], str]) -> None:
    """As many cycles as were asked for, and about as many scrapes."""
    readings = await watch({"risk": serve(clock(0.05))}, NAMES, cycles=10, cycle_s=0.05)
    (scrapes,) = readings["risk"].values()
    numbers = [scrape.value("tollgate_cycle_id") for scrape in scrapes]
    assert numbers[-1] is not None
    assert numbers[0] is not None
    assert 10 <= numbers[-1] - numbers[0] <= 12
    assert 5 <= len(scrapes) <= 12


async def test_a_clock_that_stands_still_is_not_waited_for(serve: Callable[[Answer], str]) -> None:
    """It takes a quarter longer than it should, and a second."""
    began = time.monotonic()
    readings = await watch({"risk": serve(lambda _: (200, "tollgate_cycle_id 7\n"))}, NAMES, cycles=4, cycle_s=0.1)
    assert time.monotonic() - began < 3
    assert len(next(iter(readings["risk"].values()))) > 4


async def test_who_does_not_answer_does_not_thin_out_the_others(serve: Callable[[Answer], str]) -> None:
    """One that hangs, one that is gone, one that says something else."""

    def hang(_: str) -> tuple[int, str]:
        time.sleep(1.5)
        return 200, ""

    urls = {"risk": serve(clock(0.05)), "ledger": serve(hang), "execution": "http://127.0.0.1:9"}
    urls["strategy"] = serve(lambda _: (500, "tollgate_cycle_id 1\n"))
    readings = await watch(urls, NAMES, cycles=10, cycle_s=0.05)
    assert len(next(iter(readings["risk"].values()))) >= 5
    assert {name: len(readings[name]) for name in ("ledger", "execution", "strategy")} == dict.fromkeys(
        ("ledger", "execution", "strategy"), 0
    )


def result(name: str, instance: str, *values: tuple[float, str], **labels: str) -> dict[str, Any]:
    place = {"__name__": name, "job": "tollgate", "desk": "main", "service": "risk", "instance": instance}
    return {"metric": place | labels, "values": [list(value) for value in values]}


async def test_prometheus_gives_the_window_and_one_scrape_before_it(serve: Callable[[Answer], str]) -> None:
    """By instance; what ended before the window is left out."""
    asked: list[str] = []
    found = [
        result("tollgate_live", "a", (80, "1"), (90, "1"), (95, "1")),
        result("tollgate_calls_total", "a", (80, "1"), (90, "4"), (95, "5"), status="200"),
        result("tollgate_live", "gone", (70, "1")),
    ]

    def answer(body: str) -> tuple[int, str]:
        asked.append(parse_qs(body)["query"][0])
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": found}})

    looked = await look_back(serve(answer), "main", NAMES, seconds=8, now_s=100)
    (query,) = asked
    assert query.startswith('{__name__=~"tollgate_cycle_id|tollgate_cycle_id_bucket|')
    assert query.endswith('|tollgate_live_count",job="tollgate",desk="main"}[68000ms]')
    assert looked.begin_s == 92
    assert list(looked.readings["risk"]) == ["a"]
    before, within = looked.readings["risk"]["a"]
    assert (before.at_s, within.at_s, within.is_live) == (90, 95, True)
    assert within.values["tollgate_calls_total", frozenset({("status", "200")})] == 5


@pytest.mark.parametrize("answer", [(500, ""), (200, "<html>"), (200, '{"status": "error"}')])
async def test_a_prometheus_that_cannot_say_is_told_without_its_address(
    serve: Callable[[Answer], str], answer: tuple[int, str]
) -> None:
    """The address may have a password in it."""
    url = serve(lambda _: answer).replace("http://", "http://me:hidden@")
    with pytest.raises(ConsoleError) as refused:
        await look_back(url, "main", NAMES, 8, 100)
    assert refused.value.code is ConsoleExit.TEMPORARY
    assert "hidden" not in refused.value.what
