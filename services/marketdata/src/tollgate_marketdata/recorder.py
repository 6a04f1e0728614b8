"""Every frame, in the order in which it was taken, on the MARKET stream: batched, so that it costs few syncs."""

import asyncio

import nats.errors
from faststream.nats import NatsBroker

from tollgate_chassis.exits import Restart
from tollgate_contracts.market import Frame, Frames
from tollgate_contracts.subjects import market_stream, market_subject

# Ten messages a second are ten syncs of the broker's disk, whatever the venue's rate.
_INTERVAL_S = 0.1
# Some 200 bytes a frame: well inside the largest message.
_BATCH_MAX = 500
# Twenty seconds of a thousand frames each; a broker that is so far behind is not there.
_WAITING_MAX = 20_000
_ANSWER_S = 5.0


class Recorder:
    """Publishes frames of one start of market data."""

    def __init__(self, broker: NatsBroker, desk: str, run_id: str, epoch: int) -> None:
        self._broker = broker
        self._desk = desk
        self._run_id = run_id
        self._epoch = epoch
        self._waiting: list[Frame] = []
        self._published = 0

    def note(self, frame: Frame) -> None:
        """Keep ``frame`` for the next batch; raises ``Restart`` when the stream is far behind."""
        if len(self._waiting) >= _WAITING_MAX:
            raise Restart(f"{len(self._waiting)} market frames wait to be recorded; the broker does not keep up")
        self._waiting.append(frame)

    async def run(self) -> None:
        """Publish for ever; raises ``Restart`` when the broker does not take a batch."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            await self.flush()

    async def flush(self) -> None:
        """Publish what waits; raises ``Restart`` when the broker does not take it."""
        while batch := self._waiting[:_BATCH_MAX]:
            message = Frames(
                desk=self._desk,
                run_id=self._run_id,
                epoch=self._epoch,
                first=self._published,
                frames=tuple(batch),
            )
            await self._publish(message.model_dump_json().encode())
            self._published += len(batch)
            del self._waiting[: len(batch)]

    async def _publish(self, data: bytes) -> None:
        try:
            await self._broker.publish(
                data,
                subject=market_subject(self._desk),
                stream=market_stream(self._desk),
                timeout=_ANSWER_S,
                headers={"Nats-Msg-Id": f"market:{self._epoch}:{self._published}"},
            )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise Restart(
                f"the broker does not record the market ({error!r}); if this goes on, look at its log"
            ) from error
