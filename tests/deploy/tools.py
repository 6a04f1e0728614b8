"""Where the programs are with which tests/deploy checks what lies in deploy/."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FETCHED = ROOT / ".tollgate-tools" / "debian" / "root" / "usr" / "bin"


def tool(name: str) -> str:
    """Return the path of a program: the fetched one, or else the one on the path.

    Where there is neither the test is skipped, and fails in CI, where a check that is left out is worth nothing.
    """
    fetched = _FETCHED / name
    found = str(fetched) if os.access(fetched, os.X_OK) else shutil.which(name)
    if found is not None:
        return found
    why = f"there is no {name}; tests/deploy/get_tools.sh gets it"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
