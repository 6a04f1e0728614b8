"""Where a recording ends is chance: what the end cut off is no difference, what is missing before it is one."""

import pytest

from tollgate_contracts.execution import Order
from tollgate_research.replay import Replay


def output(number: int) -> Order:
    """Stand for output ``number`` of the step at 10; a replay asks of it only who wrote it and where it stands."""
    return Order.model_construct(id=f"execution:10:{number}", cause=10, writer="execution", kind="order")


@pytest.mark.parametrize(
    ("expected", "written", "tail", "differences"),
    [((0, 1), (0,), 1, 0), ((0, 1), (1,), 0, 1), ((0, 1), (), 2, 0), ((0, 1), (0, 1), 0, 0)],
    ids=["cut between two outputs", "the first of two is missing", "cut before both", "whole"],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_the_end_of_the_tape_cut_off_is_no_difference(
    expected: tuple[int, ...], written: tuple[int, ...], tail: int, differences: int
):
    replay = Replay("main")
    replay._expected = {output(number).id: (10, output(number)) for number in expected}
    for number in written:
        message = replay._expected.pop(output(number).id)[1]
        replay._last_output_of["execution"] = (10, int(message.id[-1]))
    report = replay.finish()
    assert (report.tail, len(report.differences)) == (tail, differences)
