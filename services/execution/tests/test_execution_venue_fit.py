"""A configuration that assumes more of a venue than it offers stops the start, and names its keys."""

from dataclasses import replace

import pytest

from tollgate_execution.settings import WatchSection
from tollgate_execution.venues.fit import misfits
from tollgate_execution.venues.manners import CAPABILITIES, Manner

FITTING = WatchSection(receive_window_ms=3_000, visibility_ms=3_000, resends_max=0)
CASES = [
    (FITTING, Manner.TOLLGATE, []),
    (FITTING, Manner.BTCTURK, []),
    (FITTING.model_copy(update={"resends_max": 1}), Manner.COINBASE, []),
    (FITTING.model_copy(update={"resends_max": 1}), Manner.BTCTURK, ["resends_max: 0"]),
    (FITTING.model_copy(update={"visibility_ms": 2_999}), Manner.COINBASE, ["visibility_ms: at least 3000"]),
    (FITTING.model_copy(update={"receive_window_ms": 1_999}), Manner.BINGX, ["receive_window_ms: at least 2000"]),
    (WatchSection(receive_window_ms=1, visibility_ms=1, resends_max=9), Manner.BTCTURK, ["rec", "vis", "res"]),
]


@pytest.mark.parametrize(("watch", "manner", "expected"), CASES)
def test_what_the_venue_does_not_offer_may_not_be_relied_upon(
    watch: WatchSection, manner: Manner, expected: list[str]
) -> None:
    complaints = misfits(watch.to_watch(), CAPABILITIES[manner])
    assert len(complaints) == len(expected)
    assert all(f"execution.watch.{start}" in text for start, text in zip(expected, complaints, strict=True))


def test_the_default_configuration_fits_the_exchange_in_its_own_manner() -> None:
    assert misfits(WatchSection().to_watch(), CAPABILITIES[Manner.TOLLGATE]) == []
    late = replace(CAPABILITIES[Manner.TOLLGATE], visibility_us=60_000_000)
    assert len(misfits(WatchSection().to_watch(), late)) == 1
