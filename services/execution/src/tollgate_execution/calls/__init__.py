"""Every call to the venue goes through here: how often, how often again, and when not at all."""

from tollgate_execution.calls.breaker import BreakerRules
from tollgate_execution.calls.budget import Limits, Purpose, Window
from tollgate_execution.calls.guarded import CallRules, GuardedVenue
from tollgate_execution.calls.retry import RetryRules

__all__ = ["BreakerRules", "CallRules", "GuardedVenue", "Limits", "Purpose", "RetryRules", "Window"]
