"""Write ``docs/contracts/<service>-openapi.json`` of the services that operators call; part of ``make contracts``."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter

from tollgate_chassis.http import build_app
from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import CallLog, OperatorTrail
from tollgate_chassis.operators import OperatorTokens, TokenList
from tollgate_execution import api as execution_api
from tollgate_execution.core import ExecutionCore
from tollgate_execution.explaining import Explainer
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.resolving import Resolver
from tollgate_ledger import api as ledger_api
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.correcting import Corrector, add_corrections
from tollgate_ledger.reading import BooksReader
from tollgate_ledger.settings import LedgerSettings
from tollgate_risk import api as risk_api
from tollgate_risk.core import RiskCore
from tollgate_risk.decision_log import DecisionLog
from tollgate_risk.kill_latch import KillLatch
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.policy_file import policy_document
from tollgate_risk.settings import RiskSettings
from tollgate_risk.signing import Signer
from tollgate_risk.tightening import PolicyControl

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "contracts"
SERVICES = ("risk", "execution", "ledger")


def page(service: str) -> Path:
    """Return where the document of ``service`` lies."""
    return PAGES / f"{service}-openapi.json"


def document(service: str) -> str:
    """Return the OpenAPI document that the service answers at ``/v1/openapi.json``, laid out for reading."""
    with tempfile.TemporaryDirectory() as directory:
        app = build_app(f"Tollgate {service}", (_router(service, Path(directory)),), dict, list)
    return json.dumps(app.openapi(), indent=1, sort_keys=True) + "\n"


def _router(service: str, directory: Path) -> APIRouter:
    if service == "execution":
        core = ExecutionCore(_nobody)
        words = (Resolver(core, lambda: None).resolve, Explainer(core, lambda: None).explain)
        return execution_api.build_router(core, KillDoor(directory), _door("execution", directory), *words)
    if service == "ledger":
        readers_door = OperatorDoor(OperatorTokens(directory / "tokens", TokenList(tokens=())), CallLog())
        router = ledger_api.build_router(BooksReader(""), readers_door, "main")
        ledger_api.add_books(router, lambda: None)
        add_corrections(router, LedgerSettings(), Corrector(LedgerCore(), None, lambda: None))
        return router
    risk = RiskCore()
    settings = RiskSettings(risk={"policy_file": ROOT / "config" / "policy.yaml"})
    policies = PolicyControl(risk, OwnPolicy(policy_document(settings, Signer(bytes(range(32))))))
    control = KillSwitchControl(risk, KillLatch(directory))
    return risk_api.build_router(risk, control, DecisionLog(), policies, _door("risk", directory))


def _door(service: Literal["risk", "execution"], directory: Path) -> OperatorDoor:
    tokens = OperatorTokens(directory / "tokens", TokenList(tokens=()))
    return OperatorDoor(tokens, OperatorTrail(service, "main", f"run-{time.time_ns()}", directory))


def _nobody(*_arguments: Any) -> Any:
    raise AssertionError("nothing is verified here")


def main() -> None:
    """Write them."""
    for service in SERVICES:
        page(service).write_text(document(service))
        print(page(service).relative_to(ROOT))


if __name__ == "__main__":
    main()
