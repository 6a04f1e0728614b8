"""A door with one token for each scope, for the tests of the routes behind it."""

import time
from pathlib import Path

from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenList, TokenScope, mint

_MINTED = {scope: mint(scope.value, (scope,), time.time_ns() // 1_000, 30) for scope in TokenScope}
BEARERS = {scope.value: {"Authorization": f"Bearer {text}"} for scope, (_, text) in _MINTED.items()}
"""The header for each scope."""
TOKENS = {scope.value: text for scope, (_, text) in _MINTED.items()}


def write_tokens(directory: Path) -> Path:
    """Write the list of those tokens, and return where it lies."""
    path = directory / TOKENS_FILE
    path.write_text(TokenList(tokens=tuple(entry for entry, _ in _MINTED.values())).model_dump_json())
    path.chmod(0o600)
    return path


def new_trail(directory: Path) -> OperatorTrail:
    """Return a trail without a tape; ``attach`` gives it one."""
    return OperatorTrail("execution", "main", "r1", directory)


def new_door(directory: Path) -> OperatorDoor:
    """Return a door that knows the tokens of ``BEARERS``."""
    tokens = OperatorTokens.open(write_tokens(directory), time.time_ns() // 1_000)
    return OperatorDoor(tokens, new_trail(directory))
