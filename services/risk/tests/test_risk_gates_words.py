"""What the gates say besides their tables, word for word, and that the file of words holds nothing else."""

import importlib
from pathlib import Path

from risk_rows import ROWS, name_of
from risk_words import check_words, known_words

from tollgate_contracts.strategy import Action

OTHER_ID = "tg" + "b" * 30
OTHERS = ("before a policy", "a cancel of nothing", "a cancel of another side")


def test_before_a_policy_and_of_cancels_it_is_said_in_these_words(new_desk):
    (before,) = new_desk().ask().findings
    desk = new_desk().open()
    cancel = {"action": Action.CANCEL, "client_order_id": desk.ask().client_order_id}
    (unknown,) = desk.ask(**{**cancel, "client_order_id": OTHER_ID}).findings
    (other_side,) = desk.ask(**{**cancel, "side": "SELL"}).findings
    for name, said in zip(OTHERS, (before, unknown, other_side), strict=True):
        check_words(name, said)


def test_the_file_of_words_has_a_line_for_each_row_and_no_other():
    """A row that was renamed or taken out leaves no words behind."""
    for path in sorted(Path(__file__).parent.glob("test_risk_gates*.py")):
        if path.stem != Path(__file__).stem:
            importlib.import_module(path.stem)
    rows = {name_of(row) for row in ROWS if row.gate is not None}
    assert set(known_words()) == rows | set(OTHERS)
