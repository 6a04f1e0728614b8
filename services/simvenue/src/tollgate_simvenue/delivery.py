"""What faults make of frames on their way to the hub: lost, doubled, late, or overtaken by the next one."""

import asyncio
from dataclasses import dataclass

from tollgate_simvenue.core.faults import Faults, FrameVerdict, frame_kind
from tollgate_simvenue.core.model import Event
from tollgate_simvenue.core.plan import Stream
from tollgate_simvenue.hub import Hub
from tollgate_simvenue.wire import event_frame

# Frames that may be on their way at once; one more is sent at once.
LATE_FRAMES_MAX = 10_000
_US = 1_000_000


@dataclass(slots=True)
class _Held:
    """A frame that waits for the next one of its stream."""

    symbol: str | None
    frame: str


class Delivery:
    """Carries out what the faults say of each frame, in the running loop's time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._late = 0
        self._held: dict[Stream, list[_Held]] = {stream: [] for stream in Stream}

    def publish(self, events: list[Event], faults: Faults, now_us: int, late_us: int = 0) -> None:
        """Say each event as the faults will have it; what concerns the account at least ``late_us`` later."""
        for event in events:
            kind, symbol, client_order_id = frame_kind(event)
            verdict = faults.frame(kind, symbol, client_order_id, now_us)
            public_symbol, frame = event_frame(event)
            self._deliver(public_symbol, frame, verdict, 0 if public_symbol is not None else late_us)

    def _deliver(self, symbol: str | None, frame: str, verdict: FrameVerdict, late_us: int) -> None:
        if verdict.skips_number:
            self._hub.skip(symbol)
        if verdict.after_next:
            self._hold(_Held(symbol, frame), verdict.delays_us[0])
            return
        for delay_us in verdict.delays_us:
            self._send_later(symbol, frame, max(delay_us, late_us))

    def _send_later(self, symbol: str | None, frame: str, delay_us: int) -> None:
        if not delay_us or self._late >= LATE_FRAMES_MAX:
            self._send(symbol, frame)
            return
        self._late += 1
        asyncio.get_running_loop().call_later(delay_us / _US, self._arrive, symbol, frame)

    def _arrive(self, symbol: str | None, frame: str) -> None:
        self._late -= 1
        self._send(symbol, frame)

    def _hold(self, held: _Held, most_us: int) -> None:
        waiting = self._held[_stream(held.symbol)]
        if len(waiting) < LATE_FRAMES_MAX:
            waiting.append(held)
            asyncio.get_running_loop().call_later(most_us / _US, self._give_up, held)
        else:
            self._hub.say(held.symbol, held.frame)

    def _give_up(self, held: _Held) -> None:
        """Send a frame that no other has overtaken."""
        waiting = self._held[_stream(held.symbol)]
        if any(each is held for each in waiting):
            waiting[:] = [each for each in waiting if each is not held]
            self._hub.say(held.symbol, held.frame)

    def _send(self, symbol: str | None, frame: str) -> None:
        """Send a frame, and after it what waited for it."""
        self._hub.say(symbol, frame)
        waiting = self._held[_stream(symbol)]
        for held in waiting:
            self._hub.say(held.symbol, held.frame)
        waiting.clear()


def _stream(symbol: str | None) -> Stream:
    return Stream.USER if symbol is None else Stream.MARKET
