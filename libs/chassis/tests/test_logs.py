"""Logs have stable fields and no secrets."""

import json
import subprocess
import sys

SCRIPT = """
import logging
from pydantic import SecretStr
from tollgate_chassis.telemetry import logs
logs.configure("risk", "info")
log = logs.logger()
log.info("risk.reject", outcome="rejected", symbol="BTC-USDT", operator_token="CANARY-1",
         nested={"venue_api_key": "CANARY-2", "list": [SecretStr("CANARY-3")]}, plain=SecretStr("CANARY-4"))
log.debug("not.shown")
logging.getLogger("a.library").warning("a library speaks")
"""


def test_every_line_is_json_with_the_stable_fields_and_secrets_are_redacted():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["risk.reject", "a library speaks"]
    assert {"timestamp", "level", "service", "event", "outcome", "symbol"} <= lines[0].keys()
    assert all(line["service"] == "risk" for line in lines)
    assert "CANARY" not in done.stderr
    assert done.stdout == ""
