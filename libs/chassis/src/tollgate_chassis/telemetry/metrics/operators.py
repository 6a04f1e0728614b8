"""What a service with an operators' door tells of it."""

from prometheus_client import Counter

OPERATOR_CALLS = Counter("tollgate_operator_calls_total", "Calls at an operators' door.", ["method", "status"])
OPERATOR_CALLS_UNRECORDED = Counter(
    "tollgate_operator_calls_unrecorded_total", "Such calls that were answered and are not on the tape.", ["why"]
)
