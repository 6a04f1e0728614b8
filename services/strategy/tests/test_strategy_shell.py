"""The strategy's settings and its shell on a tape: its configuration is said once, and again when it changes."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.settings import load
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.strategy import Intent
from tollgate_contracts.subjects import tape_subject
from tollgate_strategy.app import build
from tollgate_strategy.core import Parameters
from tollgate_strategy.settings import StrategySettings


@asynccontextmanager
async def strategy(tape: MemoryTape, directory: Path):
    parts = build(StrategySettings())
    mark = HighWaterMark(directory)
    identity = Identity("strategy", "main", "r1")
    snapshots, tracing = FileSnapshots(directory), Tracing("strategy", "r1", None)
    runner = Runner(identity, parts.core, parts.shell, tape, snapshots, mark, tracing)
    await parts.shell.start(runner)
    task, live = asyncio.create_task(runner.run()), asyncio.create_task(runner.live.wait())
    await asyncio.wait({task, live}, return_when=asyncio.FIRST_COMPLETED)
    live.cancel()
    if task.done():
        task.result()
    try:
        while runner.position < tape.tip:
            await asyncio.sleep(0)
        yield parts.shell
        while runner.position < tape.tip:
            await asyncio.sleep(0)
    finally:
        runner.stop()
        await task
        mark.close()


async def of_kind(tape, kind):
    messages = [decode(record.data) for record in await tape.read(1, 10_000)]
    return [message for message in messages if isinstance(message, kind)]


def put(tape, message):
    tape.insert(tape_subject(message), encode(message), message.id)


async def test_the_configuration_is_said_at_the_first_start_and_not_again(tmp_path):
    """What is in force on the tape needs no repeating."""
    tape = MemoryTape()
    for _ in range(3):
        async with strategy(tape, tmp_path) as shell:
            assert shell.status()["configured"] is True
            assert shell.not_ready() == ["the venue has not stated the account yet"]
    (config,) = await of_kind(tape, Config)
    assert config.hash == config_hash(config.text)
    assert Parameters.model_validate_json(config.text, strict=True).knobs == StrategySettings().strategy


async def test_a_changed_configuration_is_said_anew_and_so_is_one_that_comes_back(tmp_path, monkeypatch):
    """Each is an event of its own, with an id of its own."""
    tape = MemoryTape()
    for entry_bps in ("2", "3", "2"):
        monkeypatch.setenv("TOLLGATE_STRATEGY__ENTRY_BPS", entry_bps)
        async with strategy(tape, tmp_path):
            pass
    configs = await of_kind(tape, Config)
    assert [config.id for config in configs] == [f"strategy:config:{n}.0" for n in (1, 2, 3)]
    assert configs[0].hash == configs[2].hash != configs[1].hash


async def test_intents_go_onto_the_tape_and_into_the_status(tmp_path, market, monkeypatch):
    """From quote to intent through the real runner."""
    for name, value in {"WARMUP_MS": "0", "FAST_MS": "100", "SLOW_MS": "10000", "ENTRY_BPS": "10"}.items():
        monkeypatch.setenv(f"TOLLGATE_STRATEGY__{name}", value)
    tape = MemoryTape()
    async with strategy(tape, tmp_path) as shell:
        # After the configuration, whose time is the host's: tape time never goes back.
        market.now_us = time.time_ns() // 1_000 + 1_000_000
        market.open()
        market.quote("101")
        for message in market.taped[1:]:
            put(tape, message)
        while not await of_kind(tape, Intent):
            await asyncio.sleep(0)
        (intent,) = await of_kind(tape, Intent)
        status = shell.status()
    assert (status["intents"], status["positions"], status["fault"]) == (1, {}, None)
    (working,) = status["working"]
    assert (working["client_order_id"], working["state"]) == (intent.client_order_id, None)
    async with strategy(tape, tmp_path):
        assert len(await of_kind(tape, Intent)) == 1


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"ENTRY_BSP": "1"}, "strategy.entry_bsp: no such key", id="misspelt"),
        pytest.param({"ENTRY_BPS": "-1"}, "strategy.entry_bps.*greater than or equal to 0, got '-1'", id="negative"),
        pytest.param({"ENTRY_BPS": "NaN"}, "strategy.entry_bps: an exact decimal is expected.*got 'NaN'", id="NaN"),
        pytest.param({"COOLDOWN_MS": "soon"}, "strategy.cooldown_ms: .*integer", id="no number"),
        pytest.param({"FAST_MS": "9000"}, "strategy: .*fast_ms is 9000, expected less than slow_ms", id="averages"),
        pytest.param({"CASH_SHARE_MAX": "1.5"}, "strategy.cash_share_max: .*less than or equal to 1", id="all cash"),
        pytest.param({"TIERS": "[]"}, "strategy.tiers: .*at least 1", id="no tiers"),
        pytest.param(
            {"TIERS": '[{"name":"a","above_entry_bps":"1","multiple":"1"}]'},
            "tiers must begin with above_entry_bps 0",
            id="the first tier begins too high",
        ),
        pytest.param({"ENTRY_BPS": "0", "EXIT_BPS": "0"}, "leave as it enters", id="no room between"),
    ],
)
def test_each_wrong_knob_is_named_with_its_value_and_what_was_expected(monkeypatch, environment, said):
    """Nothing starts with a knob that was not understood."""
    for name, value in environment.items():
        monkeypatch.setenv(f"TOLLGATE_STRATEGY__{name}", value)
    with pytest.raises(BadConfiguration, match=said):
        load(StrategySettings)


def test_a_bare_number_in_the_file_is_refused_as_an_amount(monkeypatch, tmp_path):
    """A float has lost digits before anybody looks at it."""
    file = tmp_path / "tollgate.yaml"
    file.write_text("strategy:\n  entry_bps: 2.5\n  exit_bps: '1.5'\n")
    monkeypatch.setenv("TOLLGATE_CONFIG", str(file))
    with pytest.raises(BadConfiguration, match=r"strategy.entry_bps.*got 2.5"):
        load(StrategySettings)
    file.write_text("strategy:\n  entry_bps: '2.5'\n")
    assert str(load(StrategySettings).strategy.entry_bps) == "2.5"
