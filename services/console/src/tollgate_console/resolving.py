"""Handing an operator's word on to the service that it is meant for."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx

from tollgate_chassis.operators import TokenScope
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.tokens import first_token_file

# Execution asks the venue before it answers, and the venue may be slow or silent.
_ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Word:
    """What became of an order, how one knows, and who says so."""

    outcome: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class DriftWord:
    """How much of a drift is to be booked as unexplained, why, and who says so."""

    amount: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class CorrectionWord:
    """Which entry of the books is taken back, what it is booked as instead, why, and who says so."""

    entry: int
    booked_as: str
    reason: str
    actor: str


def resolve_order(platform: dict[str, Any], layout: Layout, order: str, word: Word, token_file: Path | None) -> str:
    """Return what execution says of it, in words; raises ``ConsoleError`` when it does not take the word."""
    token = _token(layout, token_file, TokenScope.RELEASE)
    said = _say(platform, "execution", "DELETE", f"orders/{quote(order, safe='')}", word, token)
    return f"{order}: {said}"


def resolve_drift(
    platform: dict[str, Any], layout: Layout, currency: str, word: DriftWord, token_file: Path | None
) -> str:
    """Return what execution says of it, in words; raises ``ConsoleError`` when it does not take the word."""
    token = _token(layout, token_file, TokenScope.BOOKS)
    said = _say(platform, "execution", "POST", f"drifts/{quote(currency, safe='')}", word, token)
    return f"{currency}: {said}"


def correct_entry(platform: dict[str, Any], layout: Layout, word: CorrectionWord, token_file: Path | None) -> str:
    """Return what the ledger says of it, in words; raises ``ConsoleError`` when it does not take the word."""
    token = _token(layout, token_file, TokenScope.BOOKS)
    said = _say(platform, "ledger", "POST", "corrections", word, token)
    return f"entry {word.entry}: {said}"


def _say(
    platform: dict[str, Any],
    service: Literal["execution", "ledger"],
    method: Literal["DELETE", "POST"],
    path: str,
    word: Word | DriftWord | CorrectionWord,
    token: str,
) -> str:
    url = f"http://{platform['host']}:{platform['ports'][service]}/v1/{path}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = httpx.request(method, url, headers=headers, json=asdict(word), timeout=_ANSWER_S, trust_env=False)
        content = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        why = f"{service} does not answer: {type(error).__name__}"
        raise ConsoleError(ConsoleExit.TEMPORARY, why) from error
    if answer.status_code != httpx.codes.OK:
        raise ConsoleError(_code(answer.status_code), f"not taken: {content.get('detail', answer.status_code)}")
    note: str = content["note"]
    return note


def _code(status: int) -> ConsoleExit:
    return ConsoleExit.TEMPORARY if status >= httpx.codes.INTERNAL_SERVER_ERROR else ConsoleExit.NOT_HEALTHY


def _token(layout: Layout, token_file: Path | None, scope: TokenScope) -> str:
    path = token_file or first_token_file(layout, scope)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConsoleError(ConsoleExit.USAGE, f"the token in {path} cannot be read: {error.strerror}") from error
