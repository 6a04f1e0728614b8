"""Why the tape is not read with FastStream: each reason reproduced against a real broker (docs/decisions/0004).

When one of these fails after an upgrade, the reason is gone and the decision can be looked at again.
"""

import asyncio

import nats
from faststream.nats import JStream, NatsBroker, PullSub

STREAM = JStream("LINE", subjects=["line.>"], declare=False)


async def make_stream(url: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="LINE", subjects=["line.>"])
    await client.close()


async def put(url: str, count: int) -> None:
    client = await nats.connect(url)
    for number in range(count):
        await client.jetstream().publish("line.x", str(number).encode())
    await client.close()


async def test_a_handler_that_raises_once_loses_the_message_for_good(nats_url):
    await make_stream(nats_url)
    broker = NatsBroker(nats_url, log_level=0)
    handled: list[int] = []
    second = asyncio.Event()

    @broker.subscriber("line.x", stream=STREAM, durable="d", no_reply=True)
    async def handle(body: int) -> None:
        handled.append(body)
        if len(handled) == 1:
            raise ValueError("a passing fault")
        second.set()

    async with broker:
        await broker.start()
        await put(nats_url, 2)
        await asyncio.wait_for(second.wait(), 5)
        jetstream = broker.connection.jetstream()
        # The words to the broker follow the handlers; what they were is known when none is owed any more.
        async with asyncio.timeout(10):
            while (info := await jetstream.consumer_info("LINE", "d")).num_ack_pending:
                await asyncio.sleep(0.05)
    assert len(handled) == 2
    assert handled[0] != handled[1]
    assert info.num_pending == 0
    assert info.num_redelivered == 0


async def test_a_pull_subscriber_runs_a_fetched_batch_concurrently(nats_url):
    await make_stream(nats_url)
    await put(nats_url, 5)
    broker = NatsBroker(nats_url, log_level=0)
    under_way: list[int] = []
    together = 0
    done = asyncio.Event()

    @broker.subscriber("line.x", stream=STREAM, durable="p", pull_sub=PullSub(batch_size=5), max_workers=1)
    async def handle(body: int) -> None:
        nonlocal together
        under_way.append(body)
        together = max(together, len(under_way))
        await asyncio.sleep(0.05)
        under_way.remove(body)
        if not under_way:
            done.set()

    async with broker:
        await broker.start()
        await asyncio.wait_for(done.wait(), 10)
    assert together > 1


async def test_a_publish_without_a_stream_is_not_acknowledged_and_does_not_fail(nats_url):
    broker = NatsBroker(nats_url, log_level=0)
    async with broker:
        answer = await broker.publish(b"to nobody", "line.x")
    assert answer is None
