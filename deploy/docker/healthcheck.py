"""Ask the process of this container whether it can do its work; what it answers is the health check's output."""

import json
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TIMEOUT_S = 2


def main() -> int:
    """Return 0 when it is ready."""
    port = json.loads(Path("/opt/tollgate/image.json").read_text())["port"]
    if port is None:
        return 0
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(1_000).decode())
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"no answer on port {port}: {error}")
        return 1
    return 0 if answer.status == HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
