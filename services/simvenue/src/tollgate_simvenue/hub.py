"""Who listens to what: one bounded queue for each connection, and frames numbered from 1 in each.

A message on the wire is a JSON array of one or more frames: what has piled up while a message was on its way
leaves together, so that a consumer that is a little slow becomes cheaper to serve and not dearer.
"""

import asyncio
from collections.abc import Iterable

from tollgate_simvenue.core.model import Event
from tollgate_simvenue.wire import event_frame

# At a thousand frames a second, ten seconds' worth: whoever is further behind is better off with a new snapshot.
QUEUE_FRAMES_MAX = 10_000


class Connection:
    """The frames that wait for one connection."""

    def __init__(self, queue_frames_max: int = QUEUE_FRAMES_MAX) -> None:
        self._waiting: list[str] = []
        self._ready = asyncio.Event()
        self._sequence = 0
        self._queue_frames_max = queue_frames_max
        self.overflowed = asyncio.Event()
        """Set when a frame had no room: the consumer is too slow, and has missed something."""
        self.dismissed = asyncio.Event()
        """Set when the exchange ends the connection."""

    @property
    def backlog(self) -> int:
        """Return how many frames wait."""
        return len(self._waiting)

    def offer(self, rest_of_frame: str) -> None:
        """Put a frame at the end of the queue; where it does not fit, the connection has fallen too far behind."""
        if len(self._waiting) >= self._queue_frames_max:
            self.overflowed.set()
            return
        self._sequence += 1
        self._waiting.append(f'{{"sequence":{self._sequence},{rest_of_frame}')
        self._ready.set()

    def skip(self) -> None:
        """Use up a number without a frame."""
        self._sequence += 1

    async def take(self) -> str:
        """Wait for frames and return them all as one message."""
        await self._ready.wait()
        message = f"[{','.join(self._waiting)}]"
        self._waiting.clear()
        self._ready.clear()
        return message


class Hub:
    """All connections: those that follow markets, by symbol, and those of the account's owner."""

    def __init__(self) -> None:
        self._markets: dict[Connection, frozenset[str]] = {}
        self._users: dict[Connection, None] = {}
        self.first_subscriber = asyncio.Event()

    def follow_market(self, connection: Connection, symbols: frozenset[str]) -> None:
        """Give ``connection`` the public events of ``symbols`` from now on."""
        self._markets[connection] = symbols
        self.first_subscriber.set()

    def follow_user(self, connection: Connection) -> None:
        """Give ``connection`` the account's events from now on."""
        self._users[connection] = None

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._markets.pop(connection, None)
        self._users.pop(connection, None)

    def backlog(self) -> int:
        """Return how many frames wait in the fullest market queue."""
        return max((connection.backlog for connection in self._markets), default=0)

    def publish(self, events: list[Event]) -> None:
        """Offer each event to everyone whom it concerns."""
        if not self._markets and not self._users:
            return
        for event in events:
            self.say(*event_frame(event))

    def say(self, symbol: str | None, frame: str) -> None:
        """Offer a frame of a market to who follows it, or one of the account to its owner where there is no symbol."""
        for connection in self._concerned(symbol):
            connection.offer(frame)

    def skip(self, symbol: str | None) -> None:
        """Use up the number of such a frame, and do not send it."""
        for connection in self._concerned(symbol):
            connection.skip()

    def say_to_markets(self, frame: str) -> None:
        """Offer one frame, such as a heartbeat, to everyone who follows a market."""
        for connection in self._markets:
            connection.offer(frame)

    def say_to_users(self, frame: str) -> None:
        """Offer one frame to every connection of the account's owner."""
        for connection in self._users:
            connection.offer(frame)

    def dismiss_all(self) -> None:
        """End every connection."""
        for connection in (*self._markets, *self._users):
            connection.dismissed.set()

    def _concerned(self, symbol: str | None) -> Iterable[Connection]:
        if symbol is None:
            return self._users
        return [connection for connection, symbols in self._markets.items() if symbol in symbols]
