"""What the tests of research share lies beside them; in importlib mode pytest puts no folder on the path itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
