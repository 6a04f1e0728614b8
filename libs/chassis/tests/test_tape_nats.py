"""The tape on a real broker: order, holes, races, loss of the connection, and what services may not do."""

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from nats.js.api import RePublish, StreamConfig

from tollgate_chassis.tape import Bounds, LostRace, NatsTape, TakenId, TapeLostItsHead, TapeUnavailable

SUBJECT = "tape.main.risk.mode"


async def provision(url: str, **changes: object) -> None:
    client = await nats.connect(url)
    config = StreamConfig(
        name="TAPE_main",
        subjects=["tape.main.>"],
        allow_direct=True,
        republish=RePublish(src="tape.main.>", dest="live.main.>"),
        **changes,  # type: ignore[arg-type]
    )
    await client.jetstream().add_stream(config)
    await client.close()


@pytest.fixture
async def tape(nats_url: str) -> AsyncIterator[NatsTape]:
    await provision(nats_url)
    connected = await NatsTape.connect(nats_url, None, "main", "risk")
    yield connected
    await connected.close()


async def fill(tape: NatsTape, count: int, subject: str = SUBJECT) -> None:
    writer = ".".join(subject.split(".")[:3])
    last = await tape.last_of(writer)
    for number in range(count):
        last = await tape.append(subject, b"%d" % number, f"{subject}:{last}:{number}", last)


async def collect(tape: NatsTape, start: int, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(30):
        async for batch in tape.follow(start):
            found += [record.sequence for record in batch]
            if len(found) >= count:
                return found
    raise AssertionError("the tape ended")


async def test_an_append_is_read_back_with_its_name_subject_and_bytes(tape):
    sequence = await tape.append(SUBJECT, b"content", "risk:1:0", 0, {"traceparent": "00-abc"})
    [record] = await tape.read(1, 10)
    assert (record.sequence, record.subject, record.message_id) == (sequence, SUBJECT, "risk:1:0")
    assert record.data == b"content"
    assert dict(record.headers) == {"traceparent": "00-abc"}
    assert record.stored_us > 1_700_000_000_000_000
    assert await tape.bounds() == Bounds(1, 1)


async def test_a_zero_character_is_carried_in_a_subject_an_id_and_a_header(tape):
    """Which no text of a database can hold, so a record is archived otherwise (``archived``)."""
    await tape.append(f"{SUBJECT}\0", b"a", "risk:1:\0", 0, {"x": "a\0b"})
    [record] = await tape.read(1, 10)
    assert (record.subject, record.message_id, dict(record.headers)) == (f"{SUBJECT}\0", "risk:1:\0", {"x": "a\0b"})


async def test_a_subject_is_carried_that_is_longer_than_an_index_takes(tape):
    subject = f"{SUBJECT}.{'x' * 3_500}"
    await tape.append(subject, b"a", "risk:1:0", 0)
    [record] = await tape.read(1, 10)
    assert record.subject == subject


async def test_an_empty_tape_reads_as_nothing(tape):
    assert await tape.read(1, 10) == []
    assert await tape.bounds() == Bounds(1, 0)
    assert await tape.last_of("tape.main.risk") == 0


async def test_the_same_id_lands_once_and_says_where(tape):
    first = await tape.append(SUBJECT, b"a", "risk:1:0", 0)
    assert await tape.append(SUBJECT, b"a", "risk:1:0", first) == first
    assert (await tape.bounds()).last == 1


async def test_the_writer_whose_last_message_is_not_the_one_it_thinks_loses_the_race(tape):
    await tape.append(SUBJECT, b"a", "risk:1:0", 0)
    with pytest.raises(LostRace, match="wrong last sequence"):
        await tape.append("tape.main.risk.policy", b"b", "risk:2:0", 0)


async def test_the_race_is_per_writer_and_over_all_its_subjects(tape):
    await tape.append("tape.main.strategy.intent.BTC-USDT", b"a", "strategy:1:0", 0)
    first = await tape.append("tape.main.risk.decision.BTC-USDT", b"b", "risk:1:0", 0)
    second = await tape.append("tape.main.risk.mode", b"c", "risk:2:0", first)
    assert await tape.last_of("tape.main.risk") == second


async def test_following_catches_up_in_batches_and_goes_on_live_in_order(tape):
    await fill(tape, 600)
    reading = asyncio.create_task(collect(tape, 1, 700))
    await fill(tape, 100, "tape.main.ledger.books")
    assert await reading == list(range(1, 701))


async def test_a_delivery_that_never_came_is_fetched_by_sequence(tape):
    """Two of three live deliveries are lost on their way; the reader sees the hole and fills it."""
    lost = {2, 3}
    deliver = tape._deliver

    async def lossy(message):
        if int(message.headers["Nats-Sequence"]) not in lost:
            await deliver(message)

    tape._deliver = lossy
    reading = asyncio.create_task(collect(tape, 1, 4))
    await fill(tape, 4)
    assert await reading == [1, 2, 3, 4]


async def test_the_last_delivery_lost_is_found_when_nothing_follows(tape):
    async def deaf(_message):
        pass

    tape._deliver = deaf
    reading = asyncio.create_task(collect(tape, 1, 2))
    await fill(tape, 2)
    assert await reading == [1, 2]


async def test_a_tape_without_its_head_halts_the_reader(nats_url):
    await provision(nats_url, max_msgs=5)
    tape = await NatsTape.connect(nats_url, None, "main", "risk")
    await fill(tape, 9)
    with pytest.raises(TapeLostItsHead, match="record 1 is gone; the next on the tape is 5"):
        await collect(tape, 1, 5)
    await tape.close()


async def test_a_broker_that_dies_ends_reading_and_writing(own_broker):
    await provision(own_broker.url)
    tape = await NatsTape.connect(own_broker.url, None, "main", "risk")
    await fill(tape, 1)
    reading = asyncio.create_task(collect(tape, 1, 100))
    await asyncio.sleep(0)
    own_broker.kill()
    with pytest.raises(TapeUnavailable):
        await reading
    with pytest.raises(TapeUnavailable):
        await tape.append(SUBJECT, b"x", "risk:9:0", 1)
    await tape.close()


async def test_a_broker_that_is_not_there_is_told_at_once():
    with pytest.raises(TapeUnavailable, match=r"no connection to the broker at nats://127\.0\.0\.1:1"):
        await NatsTape.connect("nats://127.0.0.1:1", None, "main", "risk")


async def test_a_stream_that_was_not_provisioned_is_told_so(nats_url):
    tape = await NatsTape.connect(nats_url, None, "main", "risk")
    with pytest.raises(TapeUnavailable, match="was it provisioned"):
        await tape.bounds()
    await tape.close()


async def test_an_id_that_another_writer_has_taken_halts_and_is_not_taken_for_said(tape):
    """The broker suppresses a known id whoever used it first, and acknowledges as if all were well."""
    await tape.append("tape.main.strategy.intent.BTC-USDT", b"forged", "risk:operator:1-engaged", 0)
    with pytest.raises(TakenId, match=r"lies on the tape at 1 already, under tape\.main\.strategy"):
        await tape.append("tape.main.risk.kill_switch", b"genuine", "risk:operator:1-engaged", 0)


async def test_what_does_not_wake_the_reader_comes_with_what_does_and_in_order(tape, monkeypatch):
    """A minute of patience for the others: only the kind that wakes can have ended it."""
    monkeypatch.setattr("tollgate_chassis.tape.nats.IDLE_S", 60)
    reading = tape.follow(1, wakes={"mode"})
    assert await anext(reading) == []
    waiting = asyncio.ensure_future(anext(reading))
    await fill(tape, 3, "tape.main.ledger.books")
    await tape.client.flush()
    assert not waiting.done()
    await fill(tape, 1)
    batch = await asyncio.wait_for(waiting, 10)
    assert [record.sequence for record in batch] == [1, 2, 3, 4]
    await reading.aclose()


async def test_a_kind_wakes_with_and_without_a_symbol(tape, monkeypatch):
    monkeypatch.setattr("tollgate_chassis.tape.nats.IDLE_S", 60)
    reading = tape.follow(1, wakes={"decision", "mode"})
    assert await anext(reading) == []
    for subject, sequence in (("tape.main.risk.decision.BTC-USDT", 1), ("tape.main.risk.mode", 2)):
        waiting = asyncio.ensure_future(anext(reading))
        await fill(tape, 1, subject)
        assert [record.sequence for record in await asyncio.wait_for(waiting, 10)] == [sequence]
    await reading.aclose()


async def test_what_does_not_wake_the_reader_comes_by_itself_a_moment_later(tape):
    reading = tape.follow(1, wakes=())
    assert await anext(reading) == []
    await fill(tape, 2, "tape.main.ledger.books")
    assert [record.sequence for record in await asyncio.wait_for(anext(reading), 10)] == [1, 2]
    await reading.aclose()
