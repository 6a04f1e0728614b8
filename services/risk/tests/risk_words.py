"""What each gate says, word for word: limit, value and unit of every row of the gates' tables.

Operators read these words, and dashboards and ``tollgate explain`` show them. After a change that is meant, run the
gates' tests once with ``TOLLGATE_WRITE=1`` in the environment, and read what has changed in the file.
"""

import json
import os
from pathlib import Path

from tollgate_contracts.reasons import Finding
from tollgate_risk.core.case import Measure, shown

FILE = Path(__file__).with_name("gate_words.json")


def check_words(name: str, said: Measure | Finding | None) -> None:
    """Compare what was said with what stands in the file under ``name``."""
    words = "silent" if said is None else f"limit {shown(said.limit)} | seen {shown(said.seen)} | {said.unit}"
    known = known_words()
    if os.environ.get("TOLLGATE_WRITE"):
        known[name] = words
        FILE.write_text(json.dumps(dict(sorted(known.items())), indent=0, ensure_ascii=False) + "\n")
    assert known.get(name) == words


def known_words() -> dict[str, str]:
    """Return the whole file."""
    content: dict[str, str] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return content
