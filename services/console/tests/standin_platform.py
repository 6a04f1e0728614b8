"""``tollgate up`` with stand-ins for the exchange and the services; real broker, real database, real supervisor.

``python standin_platform.py STATE_DIR BASE_PORT``
"""

import sys
from pathlib import Path

from tollgate_console.exits import ConsoleError
from tollgate_console.supervisor.plan import PROCESSES
from tollgate_console.supervisor.session import Options, run_session

STANDIN = Path(__file__).with_name("standin_service.py")

if __name__ == "__main__":
    commands = {name: (sys.executable, str(STANDIN), name) for name in PROCESSES}
    try:
        run_session(Options(state_dir=Path(sys.argv[1]), base_port=int(sys.argv[2]), plain=True, commands=commands))
    except ConsoleError as error:
        sys.stderr.write(error.what + "\n")
        sys.exit(int(error.code))
