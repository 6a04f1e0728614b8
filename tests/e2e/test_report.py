"""``tollgate report`` beside a desk that runs: by the reader's own way into the database, in step with the ledger."""

import json
from decimal import Decimal

import pytest

from tests.conftest import BUSY, settle

pytestmark = pytest.mark.platform


def test_a_running_desk_reports_what_its_books_say(platform, tmp_path):
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 12, "a dozen fills", 90)
    settle(desk)
    answer = desk.run("report", "--state-dir", str(desk.state), "--json", "--html", str(tmp_path / "report.html"))
    assert answer.returncode == 0, answer.stderr
    report, ledger = json.loads(answer.stdout), desk.status("ledger")
    assert report["trading"]["fills"] == desk.fills()
    assert report["trips"]["count"] > 0
    change = report["change"]
    parts = {name: Decimal(value) for name, value in change["parts"].items()}
    assert parts["net"] == Decimal(change["last"]["equity"]) - Decimal(change["first"]["equity"])
    assert parts["net"] == parts["edge"] - parts["slippage"] - parts["fees"] + parts["funding"] + parts["other"]
    assert parts["fees"] == Decimal(ledger["fees"])
    provenance = report["provenance"]
    assert [len(model["hash"]) for model in provenance["cost_models"]] == [64]
    assert sum(policy["count"] for policy in provenance["policies"]) >= report["trading"]["fills"]
    assert (provenance["desk"], provenance["quote_currency"]) == ("main", "USDT")
    page = (tmp_path / "report.html").read_text()
    assert provenance["cost_models"][0]["hash"] in page
    lots = desk.run("report", "--state-dir", str(desk.state), "--lots", str(tmp_path / "lots.csv"))
    assert lots.returncode == 0, lots.stderr
