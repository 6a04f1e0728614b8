"""The gate as a pure state machine: ``RiskCore`` steps the tape, ``gates`` judge, ``policy`` says by what."""

from tollgate_risk.core.machine import RiskCore

__all__ = ["RiskCore"]
