"""What must be seen nowhere: key and secret, in whatever text an adapter produces or lets a library produce."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.conformance.bench import Bench, wait_until
from tollgate_venues.conformance.doubts import reads
from tollgate_venues.conformance.verdict import expect
from tollgate_venues.conformance.world import Disturbance, Trouble

# Troubles that bring texts of the venue and of libraries back to us.
_TROUBLES = (Trouble.ECHO, Trouble.BROKEN, Trouble.UNREADABLE, Trouble.UNAUTHORIZED, Trouble.STRANGE_NOT_FOUND)
# A library may cut what it logs short; so much of a key is enough to know it by.
_SHOWN_MAX = 16


async def no_secret_is_in_anything_that_is_said(bench: Bench) -> None:
    """In no ``repr``, no evidence, no exception with all that it was raised from, and no log at any level."""
    with _everything_logged() as logged:
        texts = [repr(bench.venue), str(bench.venue), repr(getattr(bench.venue, "__dict__", {}))]
        for trouble in _TROUBLES:
            texts += await _said_in(bench, trouble)
        async with bench.listening() as heard:
            await bench.place(bench.resting())
            await bench.world.disturb(Disturbance.LOST)
            await wait_until(lambda: heard.lost is not None, "the loss")
    texts += [repr(each) for each in heard.evidence] + _chain(heard.lost) + logged
    beginnings = [secret[:_SHOWN_MAX] for secret in bench.world.secrets]
    shown = [text for text in texts if any(beginning in text for beginning in beginnings)]
    expect(not shown, f"{len(shown)} texts show a secret; the first begins: {_masked(bench, shown[:1])}")


async def _said_in(bench: Bench, trouble: Trouble) -> list[str]:
    texts: list[str] = []
    order = bench.resting()
    await bench.world.trouble(trouble)
    texts.append(repr(await bench.venue.submit(order)))
    await bench.world.trouble(trouble)
    texts.append(repr(await bench.venue.query(bench.named(order))))
    for question in reads(bench):
        await bench.world.trouble(trouble)
        try:
            texts.append(repr(await question()))
        except VenueUnavailable as error:
            texts += _chain(error)
    return texts


def _chain(error: BaseException | None) -> list[str]:
    """Return how an exception looks, and everything that it was raised from or while handling."""
    texts: list[str] = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return texts


def _masked(bench: Bench, shown: list[str]) -> str:
    text = "".join(shown)
    for secret in bench.world.secrets:
        text = text.replace(secret[:_SHOWN_MAX], "***")
    return text[:300]


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@contextmanager
def _everything_logged() -> Iterator[list[str]]:
    """Give a list that every log record of the process goes to, at the lowest level, until the end of the block."""
    keeping, root = _Keeping(), logging.getLogger()
    level = root.level
    root.addHandler(keeping)
    root.setLevel(logging.DEBUG)
    try:
        yield keeping.texts
    finally:
        root.setLevel(level)
        root.removeHandler(keeping)
