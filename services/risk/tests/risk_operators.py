"""A door with one token for each scope, for the tests of the routes behind it."""

import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenEntry, TokenList, TokenScope, mint
from tollgate_domain.costs import CostModel
from tollgate_risk.api import build_router
from tollgate_risk.core import RiskCore
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.decision_log import DecisionLog
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.rules_file import read_rules
from tollgate_risk.signing import Signer
from tollgate_risk.tightening import PolicyControl

SHIPPED = Path(__file__).parents[3] / "config" / "policy.yaml"
_MINTED = {scope: mint(scope.value, (scope,), time.time_ns() // 1_000, 30) for scope in TokenScope}
BEARERS = {scope.value: {"Authorization": f"Bearer {text}"} for scope, (_, text) in _MINTED.items()}
"""The header for each scope."""
TOKENS = {scope.value: text for scope, (_, text) in _MINTED.items()}


def write_tokens(directory: Path, *entries: TokenEntry) -> Path:
    """Write a list of tokens, those of ``BEARERS`` when none are given, and return where it lies."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / TOKENS_FILE
    chosen = entries or tuple(entry for entry, _ in _MINTED.values())
    path.write_text(TokenList(tokens=chosen).model_dump_json())
    path.chmod(0o600)
    return path


def new_trail(directory: Path) -> OperatorTrail:
    """Return a trail without a tape; ``attach`` gives it one."""
    return OperatorTrail("risk", "main", "r1", directory)


def new_door(directory: Path, trail: OperatorTrail | None = None) -> OperatorDoor:
    """Return a door that knows the tokens of ``BEARERS``."""
    path = write_tokens(directory)
    return OperatorDoor(OperatorTokens.open(path, time.time_ns() // 1_000), trail or new_trail(directory))


def file_policy() -> PolicyDocument:
    """Return the policy that ships, for a desk of the tests."""
    signer = Signer(bytes(range(32)))
    return PolicyDocument(
        environment="simulated",
        desk="main",
        venue="simulated",
        account="main",
        quote_currency="USDT",
        symbols=("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT"),
        public_key=signer.public_key,
        key_id=signer.key_id,
        tightens=None,
        costs=CostModel(),
        rules=read_rules(SHIPPED),
    )


def new_app(
    core: RiskCore, control: KillSwitchControl, directory: Path, decisions: DecisionLog | None = None, **parts: Any
) -> FastAPI:
    """Return the gate's own routes as an application; ``parts`` may bring ``door`` and ``policies``."""
    door = parts.get("door") or new_door(directory)
    policies = parts.get("policies") or PolicyControl(core, OwnPolicy(file_policy()))
    app = FastAPI()
    app.include_router(build_router(core, control, decisions or DecisionLog(), policies, door))
    return app
