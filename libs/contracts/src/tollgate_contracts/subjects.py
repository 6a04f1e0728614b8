"""Names on the broker: the subject tells the writer, so that one line of permissions guards each service."""

from tollgate_contracts.envelope import Message, Service

# Kinds that are written per symbol carry it as the last token, so that a reader may filter by it.
PER_SYMBOL = frozenset({"instrument", "funding", "bar", "intent", "decision", "order", "fill"})


def tape_stream(desk: str) -> str:
    """Return the name of the desk's tape."""
    return f"TAPE_{desk}"


def market_stream(desk: str) -> str:
    """Return the name of the stream of raw market data."""
    return f"MARKET_{desk}"


def dead_letter_stream(desk: str) -> str:
    """Return the name of the stream of messages that could not be read."""
    return f"DEAD_{desk}"


def tape_subject(message: Message) -> str:
    """Return the subject under which ``message`` is appended."""
    subject = f"{writer_prefix(message.desk, message.writer)}.{message.kind}"
    return f"{subject}.{message.symbol}" if message.kind in PER_SYMBOL else subject  # type: ignore[attr-defined]


def writer_prefix(desk: str, service: Service) -> str:
    """Return the prefix under which a service, and no other, may append."""
    return f"tape.{desk}.{service}"


def live_subject(desk: str) -> str:
    """Return the prefix at which the broker says again what it has stored on the tape."""
    return f"live.{desk}"


def market_subject(desk: str) -> str:
    """Return the subject of raw market data."""
    return f"market.{desk}.frames"


def dead_letter_subject(desk: str, service: Service) -> str:
    """Return the subject under which a service puts what it could not read."""
    return f"dead.{desk}.{service}"


def permit_subject(desk: str) -> str:
    """Return the subject of risk's permits: not stored, because an old permit is worth nothing."""
    return f"permit.{desk}"


def presence_subject(desk: str, service: Service) -> str:
    """Return the prefix at which instances of one service ask who is active, and hear the answer; not stored."""
    return f"presence.{desk}.{service}"
