"""``docs/orders.md`` draws the order state machine as the code has it."""

from tests.docs.generate_orders import PAGE, PARTS, SOURCES, filled
from tollgate_contracts.execution import OrderState, ReportSource
from tollgate_execution.core.orders import TABLES


def test_the_page_is_that_of_the_code():
    text = PAGE.read_text()
    assert filled(text) == text, "stale: uv run python -m tests.docs.generate_orders"


def test_every_part_has_its_place_and_every_table_is_shown():
    text = PAGE.read_text()
    assert all(f"<!-- {name}: end -->" in text for name in PARTS)
    assert {*SOURCES, ReportSource.FILLS} == set(TABLES)
    assert all(f"| {state.value} |" in text for state in OrderState)
