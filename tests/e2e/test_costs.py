"""A venue that charges otherwise than the desk's model of costs says: traded with, booked, reported, found out."""

import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import ASK, BUSY, Platform, assert_everyone_agrees, settle
from tollgate_contracts.execution import Liquidity

pytestmark = pytest.mark.platform
FILLS = 20


def _tier(maker_bps: str, taker_bps: str) -> str:
    return json.dumps([{"volume_from": "0", "maker_bps": maker_bps, "taker_bps": taker_bps}])


def test_fees_that_the_model_does_not_say_are_booked_and_each_is_a_finding(
    platform: Callable[..., Platform], tmp_path: Path
):
    """Risk reckons with the venue's own word, which is the higher one; books and venue agree to the last digit."""
    costs = {"TOLLGATE_COSTS__FEE_TIERS": _tier("10", "20"), "TOLLGATE_SIMVENUE__FEE_TIERS": _tier("-1", "25")}
    desk = platform(BUSY | costs)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 120)
    settle(desk)
    view = assert_everyone_agrees(desk)
    found = {Liquidity.TAKER: "dearer", Liquidity.MAKER: "cheaper"}
    expected = Counter(found[fill.trade.liquidity] for fill in view.fills if fill.trade is not None)
    assert Counter(findings(desk)) == expected
    state = ASK.get(f"{desk.url('risk')}/v1/state", headers=desk.operator("read"), timeout=10).json()
    assert (state["taker_fee_bps"], state["fee_bps"]) == ("25", "25")
    assert_the_report_says_what_the_books_say(desk, tmp_path, fee_findings=expected.total())

    run = tmp_path / "run.jsonl.gz"
    assert desk.run("record", str(run), "--state-dir", str(desk.state)).returncode == 0
    assert desk.stop() == 0
    replayed = desk.run("replay", str(run), timeout_s=300)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def assert_the_report_says_what_the_books_say(desk: Platform, folder: Path, *, fee_findings: int) -> None:
    """Report beside a desk that runs: by the reader's own way into the database, in step with the ledger."""
    answer = desk.run("report", "--state-dir", str(desk.state), "--json", "--html", str(folder / "report.html"))
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    assert (report["trading"]["fills"], report["trading"]["fee_findings"]) == (desk.fills(), fee_findings)
    assert report["trips"]["count"] > 0
    change = report["change"]
    parts = {name: Decimal(value) for name, value in change["parts"].items()}
    assert parts["net"] == Decimal(change["last"]["equity"]) - Decimal(change["first"]["equity"])
    assert parts["net"] == parts["edge"] - parts["slippage"] - parts["fees"] + parts["funding"] + parts["other"]
    assert parts["fees"] == Decimal(desk.books()["fees"])
    provenance = report["provenance"]
    assert [len(model["hash"]) for model in provenance["cost_models"]] == [64]
    assert sum(policy["count"] for policy in provenance["policies"]) >= report["trading"]["fills"]
    assert (provenance["desk"], provenance["quote_currency"]) == ("main", "USDT")
    page = (folder / "report.html").read_text()
    assert provenance["cost_models"][0]["hash"] in page
    lots = desk.run("report", "--state-dir", str(desk.state), "--lots", str(folder / "lots.csv"))
    assert lots.returncode == 0, lots.stderr


def findings(desk: Platform) -> dict[str, int]:
    """Return how often the ledger has found which difference."""
    said = ASK.get(f"{desk.url('ledger')}/metrics", timeout=10).text
    counted = re.findall(r'^tollgate_ledger_fee_findings_total\{finding="(\w+)"\} (\S+)$', said, re.MULTILINE)
    return {finding: int(float(count)) for finding, count in counted}
