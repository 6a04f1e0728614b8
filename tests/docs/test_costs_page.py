"""``docs/costs.md`` shows a model that is one, and every finding."""

import re
from pathlib import Path

import yaml

from tollgate_domain.costs import CostModel
from tollgate_ledger.core.fee_check import FeeFinding

PAGE = Path(__file__).parents[2] / "docs" / "costs.md"


def test_the_model_that_the_page_shows_is_valid():
    """And it is whole: a key that is added to the model is shown as well."""
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = yaml.safe_load(block)["costs"]
    assert set(shown) == set(CostModel.model_fields)
    assert CostModel.model_validate(shown).fee_tiers[-1].maker_bps < 0


def test_every_finding_has_a_row():
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE) == [finding.value for finding in FeeFinding]
