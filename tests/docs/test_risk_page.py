"""``docs/risk.md`` names every gate and every condition as the code has them."""

import re
from pathlib import Path

import yaml

from tests.docs.generate_gates import PAGE, filled, meaning_of, reason_of
from tollgate_risk.core.conditions import WATCHES
from tollgate_risk.core.gates import SUBMIT_GATES

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_code():
    text = PAGE.read_text()
    assert filled(text) == text, "stale: uv run python -m tests.docs.generate_gates"


def test_each_gate_has_one_reason_of_its_own_and_says_what_it_is_for():
    """The order of the gates is the order of the taxonomy, and no reason stands in it twice."""
    reasons = [reason_of(gate) for gate in SUBMIT_GATES]
    order = list(type(reasons[0]))
    assert [order.index(reason) for reason in reasons] == sorted({order.index(reason) for reason in reasons})
    assert all(meaning_of(gate).endswith(".") for gate in SUBMIT_GATES)


def test_each_condition_has_its_alert_and_each_alert_its_page_in_the_runbook():
    """The alert asks for the metric of its condition; its link leads to a heading that is there."""
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules" / "risk.yaml").read_text())["groups"][0]["rules"]
    by_name = {rule["alert"]: rule for rule in rules}
    for watch in WATCHES:
        which = f'{{condition="{watch.condition.value}"}}'
        expected = f"tollgate_risk_condition_value{which} and tollgate_risk_condition_active{which} == 1"
        assert by_name[watch.alert]["expr"] == expected
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in rules:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert anchor in anchors, rule["alert"]
