"""A stand-in for a service: answers as one does, and ends as it is told to by the files beside its state.

``python standin_service.py NAME``; with a file ``exit`` in its state directory it says something and exits with the
number in it, once; with a file ``deaf`` it does not heed SIGTERM.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = sys.argv[1]
STATE = Path(os.environ["TOLLGATE_STATE_DIR"])
ANSWERS = {
    "/v1/status": {
        "service": NAME,
        "run_id": os.environ["TOLLGATE_RUN_ID"],
        "position": 7,
        "tip": 7,
        "lag": 0,
        "live": True,
    },
    "/readyz": {"ready": True, "reasons": []},
    "/healthz": {"status": "alive"},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


(STATE / "environment.json").write_text(json.dumps(dict(os.environ)))
order = STATE / "exit"
if order.exists():
    code = int(order.read_text())
    order.unlink()
    sys.stderr.write(f"{NAME}: a key is misspelt\n")
    sys.exit(code)
if (STATE / "deaf").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ[f"TOLLGATE_PORTS__{NAME.upper()}"])), Handler)
server.serve_forever()
