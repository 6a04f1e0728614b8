"""Handing an operator's word on an order to execution."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
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
    """What became of the order, how one knows, and who says so."""

    outcome: str
    reason: str
    actor: str


def resolve_order(platform: dict[str, Any], layout: Layout, order: str, word: Word, token_file: Path | None) -> str:
    """Return what execution says of it, in words; raises ``ConsoleError`` when it does not take the word."""
    url = f"http://{platform['host']}:{platform['ports']['execution']}/v1/orders/{quote(order, safe='')}"
    headers = {"Authorization": f"Bearer {_token(layout, token_file)}"}
    try:
        answer = httpx.request("DELETE", url, headers=headers, json=asdict(word), timeout=_ANSWER_S, trust_env=False)
        content = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        why = f"execution does not answer: {type(error).__name__}"
        raise ConsoleError(ConsoleExit.TEMPORARY, why) from error
    if answer.status_code != httpx.codes.OK:
        raise ConsoleError(_code(answer.status_code), f"not taken: {content.get('detail', answer.status_code)}")
    return f"{order}: {content['note']}"


def _code(status: int) -> ConsoleExit:
    return ConsoleExit.TEMPORARY if status >= httpx.codes.INTERNAL_SERVER_ERROR else ConsoleExit.NOT_HEALTHY


def _token(layout: Layout, token_file: Path | None) -> str:
    path = token_file or first_token_file(layout, TokenScope.RELEASE)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConsoleError(ConsoleExit.USAGE, f"the token in {path} cannot be read: {error.strerror}") from error
