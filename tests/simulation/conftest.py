"""A real Postgres for the test that holds the simulated journal against it: the one that execution's own tests use."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Processes that run seeds side by side are begun afresh, and find our modules by the path alone.
sys.path.insert(0, str(ROOT))

_spec = spec_from_file_location("execution_conftest", ROOT / "services" / "execution" / "tests" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_execution = module_from_spec(_spec)
_spec.loader.exec_module(_execution)
postgres, database = _execution.postgres, _execution.database
