"""Finding the platform of a state directory, and asking each of its processes."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx

from tollgate_chassis.operators import TokenScope
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.tokens import first_token_file
from tollgate_console.supervisor.lock import describe_holder, is_held
from tollgate_contracts.envelope import SERVICES

# Everything is on this machine: who does not answer by then is not well.
_ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What was found: the supervisor's description, and each process's answer or none."""

    platform: dict[str, Any]
    status: dict[str, dict[str, Any] | None]
    """Each service's ``GET /v1/status``."""
    not_ready: dict[str, list[str]]
    """Why each service that answers is not ready."""
    venue_up: bool
    books: dict[str, Any] | None
    """The ledger's ``GET /v1/books``."""


def find_platform(layout: Layout) -> dict[str, Any]:
    """Return what the supervisor has written; raises ``ConsoleError`` when none runs on this state directory."""
    if not is_held(layout):
        raise ConsoleError(
            ConsoleExit.NOT_RUNNING, f"no platform runs on {layout.root}; start one with `make run` or `tollgate up`"
        )
    try:
        content: dict[str, Any] = json.loads(layout.platform_file.read_text())
    except FileNotFoundError as error:
        raise ConsoleError(
            ConsoleExit.TEMPORARY, f"{layout.root} is in use, and no platform runs on it yet: {describe_holder(layout)}"
        ) from error
    return content


def read_token(layout: Layout) -> str | None:
    """Return the text of the desk's first token for reading, or none where whoever asks may not see it."""
    try:
        return first_token_file(layout, TokenScope.READ).read_text().strip()
    except OSError:
        return None


async def ask_all(client: httpx.AsyncClient, platform: dict[str, Any], token: str | None = None) -> Answers:
    """Ask every process at once, and what stands in the books with a ``token`` for it; silence is an answer."""
    base = {name: f"http://{platform['host']}:{port}" for name, port in platform["ports"].items()}
    statuses, readiness, venue, books = await asyncio.gather(
        asyncio.gather(*(_get(client, f"{base[name]}/v1/status") for name in SERVICES)),
        asyncio.gather(*(_get(client, f"{base[name]}/readyz") for name in SERVICES)),
        _get(client, f"{base['simvenue']}/healthz"),
        _get_books(client, base["ledger"], token),
    )
    return Answers(
        platform=platform,
        status=dict(zip(SERVICES, statuses, strict=True)),
        not_ready={
            name: [] if answer is None else answer.get("reasons", [])
            for name, answer in zip(SERVICES, readiness, strict=True)
        },
        venue_up=venue is not None,
        books=books,
    )


def new_client() -> httpx.AsyncClient:
    """Return a client for ``ask_all``."""
    return httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False)


async def _get_books(client: httpx.AsyncClient, base: str, token: str | None) -> dict[str, Any] | None:
    if token is None:
        return None
    answer = await _get(client, f"{base}/v1/books", {"Authorization": f"Bearer {token}"})
    # A refusal is an answer too, and says nothing of the books.
    return answer if answer is not None and "equity" in answer else None


async def _get(client: httpx.AsyncClient, url: str, headers: dict[str, str] | None = None) -> dict[str, Any] | None:
    try:
        answer: Any = (await client.get(url, headers=headers)).json()
    except (httpx.HTTPError, ValueError):
        # What is down does not answer, and what listens in its place does not answer in JSON.
        return None
    return answer if isinstance(answer, dict) else None
