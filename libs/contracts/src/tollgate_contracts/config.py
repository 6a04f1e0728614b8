"""What a service was started with: its whole decision-relevant configuration, as text on the tape."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from tollgate_contracts.envelope import Hash, Message, Service

# A configuration is a page of settings; 64 KiB is far more than any of ours and fits a message.
CONFIG_TEXT_MAX = 65_536
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: keys sorted, no spaces, no floats, no NaN."""
    return _CANONICAL.encode(value)


def config_hash(text: str) -> str:
    """Return the SHA-256 of a configuration's canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()


class Config(Message):
    """A service's configuration in force from here on; risk's is the policy, and says so by its own kind."""

    writer: Service
    kind: Literal["config"] = "config"
    version: Literal[1] = 1
    text: Annotated[str, Field(max_length=CONFIG_TEXT_MAX)]
    """Canonical JSON."""
    hash: Hash
