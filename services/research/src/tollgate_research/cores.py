"""The cores of a desk, fresh: each is configured by the tape itself."""

from tollgate_contracts.approval import SignedText
from tollgate_contracts.core import Core
from tollgate_contracts.reasons import Reason
from tollgate_execution.core import ExecutionCore
from tollgate_execution.verification import Verifier
from tollgate_ledger.core import LedgerCore
from tollgate_risk.core import RiskCore
from tollgate_strategy.core import StrategyCore


class _TapeVerifier:
    """Verifies as execution does, with the keys that its configuration on the tape names."""

    def __init__(self) -> None:
        self.core: ExecutionCore | None = None
        self._verifier: Verifier | None = None
        self._keys: dict[str, str] = {}

    def __call__(self, signed: SignedText) -> Reason | None:
        parameters = self.core.parameters if self.core else None
        keys = dict(parameters.trusted_keys) if parameters else {}
        if self._verifier is None or keys != self._keys:
            self._verifier, self._keys = Verifier(keys), keys
        return self._verifier.approval(signed)


def fresh_cores() -> dict[str, Core]:
    """Return the four deciding cores, in the order in which an order passes them."""
    verify = _TapeVerifier()
    execution = ExecutionCore(verify)
    verify.core = execution
    return {"strategy": StrategyCore(), "risk": RiskCore(), "execution": execution, "ledger": LedgerCore()}
