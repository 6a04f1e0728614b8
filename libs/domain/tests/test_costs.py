"""The cost model: which tier applies, what a trade is expected to cost, and the model's fingerprint."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tollgate_contracts.config import canonical_json
from tollgate_contracts.execution import Liquidity
from tollgate_domain.costs import DAY_US, VOLUME_DAYS, CostModel, FeeTier, MarketTier, TradedVolume, tier_at

D = Decimal
MAKER, TAKER = Liquidity.MAKER, Liquidity.TAKER


def tier(volume_from: str, maker_bps: str, taker_bps: str) -> FeeTier:
    return FeeTier(volume_from=D(volume_from), maker_bps=D(maker_bps), taker_bps=D(taker_bps))


FIRST, SECOND, PAID = tier("0", "10", "20"), tier("1000", "5", "15"), tier("5000", "-1.5", "15")
MODEL = CostModel(
    fee_tiers=(FIRST, SECOND, PAID),
    markets=(
        MarketTier(name="major", symbols=("BTC-USDT",), half_spread_bps=D("0.5"), slippage_bps=D(1)),
        MarketTier(name="rest", half_spread_bps=D(4), slippage_bps=D(6)),
    ),
)

rates = st.decimals(-10, 100, places=6)
values = st.decimals(0, D(10) ** 20, places=18, allow_nan=False)


@st.composite
def models(draw: Any) -> CostModel:
    """Any fees that do not rise with the volume, maker's at most taker's."""
    count = draw(st.integers(1, 8))
    volumes = sorted(draw(st.sets(st.integers(1, 10**9), min_size=count - 1, max_size=count - 1)))
    takers = sorted((max(rate, D(0)) for rate in draw(st.lists(rates, min_size=count, max_size=count))), reverse=True)
    drawn = sorted(draw(st.lists(rates, min_size=count, max_size=count)), reverse=True)
    makers = [min(pair) for pair in zip(drawn, takers, strict=True)]
    rows = zip([0, *volumes], makers, takers, strict=True)
    return CostModel(fee_tiers=tuple(tier(str(volume), f"{maker:f}", f"{taker:f}") for volume, maker, taker in rows))


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ("0", FIRST),
        ("999.999999999999999999", FIRST),
        ("1000", SECOND),
        ("4999", SECOND),
        ("5000", PAID),
        ("1e19", PAID),
    ],
)
def test_a_tier_applies_from_its_volume_on(volume, expected):
    assert tier_at(MODEL.fee_tiers, D(volume)) == expected


@pytest.mark.parametrize(
    ("maker_bps", "taker_bps", "expected"),
    [
        ("10", "20", FIRST),
        ("5", "15", SECOND),
        ("-1.5", "15", PAID),
        ("-2", "1", PAID),
        ("-1.4", "15", SECOND),
        ("4", "12", SECOND),
        ("-1.5", "15.1", FIRST),
        ("6", "15", FIRST),
        ("11", "12", FIRST),
        ("30", "40", FIRST),
    ],
)
def test_the_stated_tier_is_the_cheapest_that_is_below_the_venues_word_in_neither_rate(maker_bps, taker_bps, expected):
    """Where the venue states more than any tier says, the first is the nearest."""
    assert MODEL.tier_stated(D(maker_bps), D(taker_bps)) == expected


@given(models(), rates, rates)
def test_what_a_trade_is_charged_at_most_is_never_below_the_venues_word(model, maker_bps, taker_bps):
    """Also where the venue states that making costs more than taking."""
    assert model.fee_bps_at_most(maker_bps, taker_bps) >= max(maker_bps, taker_bps, D(0))


@pytest.mark.parametrize(
    ("maker_bps", "taker_bps", "expected"),
    [("5", "15", "15"), ("10", "18", "20"), ("10", "25", "25"), ("30", "25", "30"), ("-1.5", "15", "15")],
)
def test_a_trade_is_charged_at_most_what_the_tier_or_the_venue_says_whichever_is_more(maker_bps, taker_bps, expected):
    assert MODEL.fee_bps_at_most(D(maker_bps), D(taker_bps)) == D(expected)


@given(models())
def test_each_tier_is_found_again_by_the_rates_that_it_says(model):
    """The venue's statement names the rates and not the volume; equal rates are one tier to whoever pays them."""
    for each in model.fee_tiers:
        found = model.tier_stated(each.maker_bps, each.taker_bps)
        assert (found.maker_bps, found.taker_bps) == (each.maker_bps, each.taker_bps)


@given(models(), st.sampled_from(Liquidity), values, st.tuples(values, values))
def test_more_volume_never_makes_a_trade_dearer(model, liquidity, value, volumes):
    less, more = sorted(volumes)
    assert tier_at(model.fee_tiers, more).fee(value, liquidity) <= tier_at(model.fee_tiers, less).fee(value, liquidity)


@given(models(), st.sampled_from(Liquidity), values, values, values)
def test_fees_are_exact_and_of_parts_add_up_to_that_of_the_whole(model, liquidity, first, second, volume):
    """No rounding hides in the model: silent ones raise, and the sum over parts is the fee of the sum."""
    chosen = tier_at(model.fee_tiers, volume)
    assert chosen.fee(first, liquidity) + chosen.fee(second, liquidity) == chosen.fee(first + second, liquidity)
    assert chosen.fee(first, liquidity) * 10_000 == first * chosen.rate_bps(liquidity)


def test_the_largest_value_that_a_message_can_name_has_an_exact_fee():
    largest = D("99999999999999999999.999999999999999999") * D("99999999999999999999.999999999999999999")
    dearest = tier("0", "999.999999", "999.999999")
    assert dearest.fee(largest, TAKER) * 10_000 == largest * D("999.999999")


@given(values)
def test_a_rebate_is_below_zero_and_taking_never_is(value):
    assert PAID.fee(value, MAKER) == -value * D("0.00015")
    assert PAID.fee(value, TAKER) >= 0


def test_what_takes_pays_spread_and_slippage_of_its_symbol_and_what_makes_does_not():
    value = D(10_000)
    assert MODEL.slippage("BTC-USDT", value, TAKER) == D("1.5")
    assert MODEL.slippage("XRP-USDT", value, TAKER) == D(10)
    assert MODEL.slippage("XRP-USDT", -value, TAKER) == D(-10)
    assert MODEL.slippage("XRP-USDT", value, MAKER) == D(0)


PUBLISHED = [
    # Coinbase, fee tier "Advanced 1": maker_fee_rate 0.006, taker_fee_rate 0.008. 500 USD taken: 500 x 0.008.
    ("coinbase", tier("0", "60", "80"), TAKER, "500", "4", "4"),
    ("coinbase", tier("0", "60", "80"), MAKER, "500", "3", "3"),
    # BingX, makerFeeRate 0.0002, takerFeeRate 0.0005. Its own fill: 4.10 at 3.1088, commission -0.0025.
    ("bingx", tier("0", "2", "5"), MAKER, "12.74608", "0.002549216", "0.0025"),
    # BtcTurk, 18 bps with its tax. Its own trade: 0.3384081100000000 at 122.00, fee 0.06297817 and tax 0.01133607.
    ("btcturk", tier("0", "18", "18"), TAKER, "41.28578942", "0.074314420956", "0.07431424"),
]


@pytest.mark.parametrize(("venue", "published", "liquidity", "value", "by_hand", "charged"), PUBLISHED)
def test_the_model_says_what_venues_publish_and_charge(venue, published, liquidity, value, by_hand, charged):
    """Worked out by hand from each venue's own table; what it then charged differs by its rounding and no more."""
    model = CostModel(fee_tiers=(published,), fee_tolerance_bps=D(0))
    expected = tier_at(model.fee_tiers, D(0)).fee(D(value), liquidity)
    assert expected == D(by_hand)
    assert model.tolerates(D(charged), expected, D(value))
    assert not model.tolerates(D(charged) + D("0.0002"), expected, D(value))


def test_a_fee_may_differ_by_dust_and_by_a_part_of_the_value():
    model = CostModel(fee_dust=D("0.01"), fee_tolerance_bps=D(1))
    for off, is_tolerated in ((D("0.11"), True), (D("-0.11"), True), (D("0.110001"), False), (D("-0.110001"), False)):
        assert model.tolerates(D(2) + off, D(2), D(1_000)) is is_tolerated


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@given(models())
def test_the_fingerprint_is_of_the_content_and_not_of_how_it_is_written(model):
    """Neither the order of keys nor trailing zeros change it; the text on the tape gives it back."""
    written = model.model_dump(mode="json")
    assert CostModel.model_validate_json(canonical_json(written)).fingerprint == model.fingerprint
    assert CostModel.model_validate_json(json.dumps(_reversed(written))).fingerprint == model.fingerprint
    longer = model.model_copy(update={"fee_dust": D("0.00010")})
    assert longer.fingerprint == model.model_copy(update={"fee_dust": D("0.0001")}).fingerprint


def test_any_change_is_another_fingerprint():
    changes: list[dict[str, Any]] = [
        {},
        {"fee_tiers": (FIRST,)},
        {"fee_dust": D(1)},
        {"fee_tolerance_bps": D(1)},
        {"markets": (MarketTier(name="all", half_spread_bps=D(1), slippage_bps=D(1)),)},
    ]
    fingerprints = [MODEL.model_copy(update=change).fingerprint for change in changes]
    assert len(set(fingerprints)) == len(changes)


def test_the_fingerprint_is_the_same_in_another_process():
    """Whatever the hash seed; a process that starts anew, or on another machine, says the same."""
    program = "from tollgate_domain.costs import CostModel; print(CostModel().fingerprint)"
    said = {
        subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {CostModel().fingerprint}


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"fee_tiers": []}, "at least 1"),
        ({"fee_tiers": [("5", "1", "2")]}, "volume of 0"),
        ({"fee_tiers": [("0", "1", "2"), ("0", "1", "2")]}, "volume_from must rise"),
        ({"fee_tiers": [("0", "1", "2"), ("9", "1", "3")]}, "a fee rises with the volume"),
        ({"fee_tiers": [("0", "1", "2"), ("9", "1.5", "2")]}, "a fee rises with the volume"),
        ({"fee_tiers": [("0", "3", "2")]}, "making costs more than taking"),
        ({"fee_tiers": [("0", "-3", "-2")]}, "greater than or equal to 0"),
        ({"fee_tiers": [("0", "1", "1000.000001")]}, "less than or equal to 1000"),
        ({"fee_tiers": [("0", "1", "2.0000001")]}, "at most six decimal places"),
        ({"fee_dust": 0.1}, "quoted string"),
        ({"fee_dust": "-1"}, "greater than or equal to 0"),
        ({"markets": []}, "at least 1"),
        ({"markets": [("a", ["BTC-USDT"])]}, "every tier but the last"),
        ({"markets": [("a", []), ("b", [])]}, "every tier but the last"),
        ({"markets": [("a", ["BTC-USDT"]), ("b", ["BTC-USDT"]), ("c", [])]}, "BTC-USDT must be in one tier only"),
        ({"funding": {}}, "Extra inputs"),
        ({"spread": "1"}, "Extra inputs"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(section, complaint):
    keys = ("volume_from", "maker_bps", "taker_bps")
    if "fee_tiers" in section:
        section = {"fee_tiers": [dict(zip(keys, row, strict=True)) for row in section["fee_tiers"]]}
    if "markets" in section:
        costs = {"half_spread_bps": "1", "slippage_bps": "1"}
        section = {"markets": [{"name": name, "symbols": symbols, **costs} for name, symbols in section["markets"]]}
    with pytest.raises(ValidationError, match=complaint):
        CostModel.model_validate(section)


def test_the_volume_is_that_of_the_thirty_whole_days_before_today():
    volume = TradedVolume()
    noon_us = 100 * DAY_US + DAY_US // 2
    volume.add(noon_us, D(7))
    assert volume.before(noon_us) == 0
    assert volume.before(101 * DAY_US - 1) == 0
    assert volume.before(101 * DAY_US) == D(7)
    assert volume.before((100 + VOLUME_DAYS) * DAY_US) == D(7)
    assert volume.before((101 + VOLUME_DAYS) * DAY_US) == 0


def test_a_trade_that_is_taken_back_leaves_the_day_on_which_it_was_made():
    volume = TradedVolume()
    volume.add(5 * DAY_US, D(7))
    volume.add(6 * DAY_US, D(3))
    volume.add(5 * DAY_US, D(-7))
    assert volume.before(7 * DAY_US) == D(3)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 100)), max_size=200))
def test_the_volume_keeps_no_more_days_than_it_needs_and_forgets_none_of_these(trades):
    """As a sum over all trades says that were ever made, as long as time has not gone back beyond the window."""
    volume = TradedVolume()
    for number, value in sorted(trades):
        volume.add(number * DAY_US, D(value))
        assert len(volume.by_day) <= VOLUME_DAYS + 1
        made = [value for day, value in trades if number - VOLUME_DAYS <= day < number]
        assert volume.before(number * DAY_US) == sum(made)
