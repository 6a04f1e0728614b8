"""Finding out who is active among the instances of one service, and answering when it is this one.

Whoever is not active asks at ``presence.<desk>.<service>.ask``; the active instance, and no other, listens there and
answers at ``presence.<desk>.<service>.active``. So a service that runs alone says nothing, and one that starts is
told by the broker at once that nobody listens. The tape, not this, decides (docs/decisions/0015).
"""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from pydantic import ValidationError

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.tape.records import TapeUnavailable
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import tape as metrics
from tollgate_chassis.turn import ASK_EVERY_S, AWAY_US_MAX, Heard, Presence, Turn
from tollgate_contracts.subjects import presence_subject
from tollgate_contracts.tenure import Tenure

if TYPE_CHECKING:
    from tollgate_chassis.runner import Identity

# The broker's own answer takes a millisecond; a connection that takes this long is in doubt.
_FLUSH_S = 2
_US_PER_S = 1_000_000
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


def instance_name() -> str:
    """Return a name for this start of this process; another start, on whatever host, has another."""
    host = _NOT_A_NAME.sub("-", socket.gethostname())[:64]
    return f"{host}:{os.getpid()}:{secrets.token_hex(4)}"


class Standby:
    """One instance's part in who is active."""

    def __init__(
        self,
        client: Client,
        identity: "Identity",
        instance: str,
        *,
        follows: bool = True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.instance = instance
        self.follows = follows
        """Whether it follows the tape while it stands by; one that does not must start anew when it loses a race."""
        self.tenure = 0
        """Tape sequence of our tenure; 0 until it is on the tape."""
        self._client = client
        self._identity = identity
        self._clock = clock
        self._subject = presence_subject(identity.desk, identity.service)
        self._turn = Turn()
        self._waits = False
        self._turned_at = 0.0
        self._position: Callable[[], int] = lambda: 0
        self._held_us = 0
        self._asking = asyncio.Lock()
        self._answered = asyncio.Event()
        self._hearing: Subscription | None = None
        self._answering: Subscription | None = None

    @property
    def is_our_turn(self) -> bool:
        """Say whether this instance should try to become the active one."""
        return self._turn.is_ours

    @property
    def active(self) -> str | None:
        """The instance for which this one stands by; none when this one is active, or has heard of no other."""
        return None if self.tenure or self._turn.is_ours else self._turn.active

    @property
    def turned_at(self) -> float:
        """Monotonic seconds at which it became our turn; 0 for who never had to wait."""
        return self._turned_at

    def vouches(self, monotonic_us: int) -> bool:
        """Say whether this instance is active, and was not away since the tape last said so."""
        return bool(self.tenure) and monotonic_us - self._held_us <= AWAY_US_MAX

    def insist(self) -> None:
        """Become the active instance whoever is it now."""
        if self._waits:
            self._end_waiting("insists")
        self._turn.insist()

    async def look(self) -> None:
        """Ask once who is active: at once when nobody listens, else within ``ASK_EVERY_S``.

        Raises ``TapeUnavailable`` when our own connection is not well: then silence says nothing.
        """
        try:
            # One question at a time, or two that go unanswered together would count as twice the silence.
            async with self._asking:
                heard = await self._ask()
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise TapeUnavailable(f"asking who is active: {error or type(error).__name__}") from error
        self._turn.note(heard)
        # A question that was under way when we became active is answered by ourselves.
        metrics.STANDING_BY.set(0 if self._turn.is_ours or self.tenure else 1)
        if not self._turn.is_ours:
            self._waits = True
        elif self._waits:
            self._end_waiting(heard.value)

    def _end_waiting(self, why: str) -> None:
        self._waits = False
        self._turned_at = self._monotonic_s()
        logger().warning("standby.turn", outcome=why, active=self._turn.active or "")

    async def _ask(self) -> Heard:
        if self._hearing is None:
            self._hearing = await self._client.subscribe(f"{self._subject}.active", cb=self._hear)
        self._answered.clear()
        try:
            # Nobody may answer into an inbox: no service has that right. Whoever is active answers to all who ask.
            await self._client.request(f"{self._subject}.ask", timeout=ASK_EVERY_S)
        except nats.errors.NoRespondersError:
            return Heard.NOBODY
        except TimeoutError:
            # What was answered before the broker's word is here with it.
            await self._client.flush(_FLUSH_S)
        return Heard.ANSWER if self._answered.is_set() else Heard.SILENCE

    async def _hear(self, message: Msg) -> None:
        try:
            presence = Presence.model_validate_json(message.data)
        except ValidationError as error:
            logger().warning("standby.unreadable", outcome=str(error)[:200])
            return
        if presence.instance != self.instance:
            self._turn.name(presence.instance)
            self._answered.set()

    async def until_our_turn(self) -> None:
        """Stand by without following the tape; raises ``TapeUnavailable`` when the connection is in doubt."""
        await self.look()
        while not self.is_our_turn:
            await self._pause_after(self.look())

    async def _pause_after(self, looking: Awaitable[None]) -> None:
        began = self._monotonic_s()
        await looking
        await self._clock.sleep(max(0.0, began + ASK_EVERY_S - self._monotonic_s()))

    def _monotonic_s(self) -> float:
        return self._clock.monotonic_us() / _US_PER_S

    def note_tenure(self, instance: str, *, is_new: bool) -> None:
        """Note who is active, by what the tape says; a new tenure ends a turn that we took for ours."""
        self._turn.name(instance)
        if is_new:
            self._turn.begin_anew()

    async def claim(self, append: Callable[[Tenure], Awaitable[int]], after: int, cycle_id: int) -> None:
        """Append our tenure; raises ``LostRace`` when another was first.

        ``after`` is the last sequence under the service's name, for which we have answered for all before.
        """
        # It reaches the broker before the tenure does, on the same connection: whoever starts in between finds that
        # somebody listens, and waits.
        if self._answering is None:
            self._answering = await self._client.subscribe(f"{self._subject}.ask", cb=self._answer)
        now_us = self._clock.monotonic_us()
        identity = self._identity
        tenure = Tenure(
            writer=identity.service,
            # Rises by itself, since each tenure becomes the last word behind which the next is appended.
            id=f"{identity.service}:tenure:{after}.0",
            desk=identity.desk,
            run_id=identity.run_id,
            ts_us=self._clock.wall_us(),
            cause=None,
            cycle_id=cycle_id,
            instance=self.instance,
        )
        self.tenure = await append(tenure)
        metrics.STANDING_BY.set(0)
        self._held_us = now_us

    async def lost(self) -> None:
        """Answer nobody: there was more on the tape under our name than we had read, such as another's tenure.

        It is still our turn until that is read, and turns out to be one.
        """
        if self._answering is not None:
            await self._answering.unsubscribe()
            self._answering = None

    async def _answer(self, _message: Msg) -> None:
        if not self.tenure:
            return
        presence = Presence(instance=self.instance, tenure=self.tenure, position=self._position())
        # A connection that is gone ends the process elsewhere.
        with suppress(OSError, nats.errors.Error):
            await self._client.publish(f"{self._subject}.active", presence.model_dump_json().encode())

    async def run(self, position: Callable[[], int], prove: Callable[[], Awaitable[None]]) -> None:
        """Ask for as long as we stand by; while active, look to it that we never act on a tenure that has ended.

        ``prove`` raises when the tape's last word under the service's name is not ours.
        """
        self._position = position
        while True:
            if self.tenure:
                await self._hold(prove)
                await self._clock.sleep(ASK_EVERY_S)
            else:
                await self._pause_after(self.look())

    async def _hold(self, prove: Callable[[], Awaitable[None]]) -> None:
        now_us = self._clock.monotonic_us()
        if not self.vouches(now_us):
            logger().warning("standby.was_away", outcome="proving", latency_ms=(now_us - self._held_us) // 1_000)
            await prove()
            # Who took this for its turn while we were away may be writing its tenure just now. From here on we answer
            # it, so that by the next question it is on the tape or given up.
            await self._clock.sleep(ASK_EVERY_S)
            now_us = self._clock.monotonic_us()
            await prove()
        self._held_us = now_us
