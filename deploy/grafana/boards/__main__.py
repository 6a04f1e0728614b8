"""Write every dashboard: ``python -m deploy.grafana.boards [directory]``."""

import json
import sys
from pathlib import Path

from deploy.grafana.boards import books, desk, execution, market_data, platform, risk
from deploy.grafana.boards.panels import rendered

WRITTEN = Path(__file__).parents[1] / "dashboards"
BOARDS = {
    "desk": desk.BOARD,
    "risk": risk.BOARD,
    "execution": execution.BOARD,
    "market-data": market_data.BOARD,
    "books": books.BOARD,
    "platform": platform.BOARD,
}


def main() -> None:
    """Write the files, elsewhere where a directory is named."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else WRITTEN
    for name, board in BOARDS.items():
        (directory / f"{name}.json").write_text(json.dumps(rendered(board), indent=2, ensure_ascii=False) + "\n")
    print(f"{len(BOARDS)} dashboards in {directory} are written")  # noqa: T201 - what a command answers


if __name__ == "__main__":
    main()
