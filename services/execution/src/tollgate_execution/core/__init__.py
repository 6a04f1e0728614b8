"""The pure core of execution: verified approvals become orders, and the venue's evidence becomes states and fills."""

from tollgate_execution.core.approvals import Verify
from tollgate_execution.core.core import ExecutionCore
from tollgate_execution.core.effects import Cancel, Effect, Query, Settle, Submit
from tollgate_execution.core.kill import Kill, held_back
from tollgate_execution.core.parameters import Parameters, Watch

__all__ = [
    "Cancel",
    "Effect",
    "ExecutionCore",
    "Kill",
    "Parameters",
    "Query",
    "Settle",
    "Submit",
    "Verify",
    "Watch",
    "held_back",
]
