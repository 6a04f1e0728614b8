"""Do host, broker and database agree on what time it is?"""

import asyncio
import ctypes
import sys
import time

from tollgate_chassis.tape import NatsTape, TapeUnavailable
from tollgate_chassis.tape.reading import AHEAD_US_MAX
from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.checks.broker import connected
from tollgate_console.doctor.checks.database import LOST, logged_in
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.provision.database import READER
from tollgate_console.provision.keys import POSTGRES_DSN

AREA = Area("clock")
# What a host that keeps time at all never reaches; readers refuse a message that is further ahead than the last.
_WARN_US, _FAIL_US = 250_000, AHEAD_US_MAX
_LISTEN_S = 2.0
# The least delay of so many deliveries is the one that nothing else held up.
_DELIVERIES = 8
_DO = "mend the host's time synchronisation; docs/runbook.md#clock-wrong"
# struct timex is shorter than this on every Linux; the kernel is asked and told nothing, as `modes` is 0.
_TIMEX_BYTES = 512
_UNSYNCHRONISED = 5


async def check_clock(patient: Patient) -> list[CheckResult]:
    """Report how far the host's clock is from the broker's and the database's, and whether it is kept by NTP."""
    synchronised = check_synchronised(_kernel_state())
    if patient.platform is None:
        return [synchronised, AREA.skipped("broker", "no platform runs")]
    return [synchronised, await _against_broker(patient), await _against_database(patient)]


async def _against_broker(patient: Patient) -> CheckResult:
    try:
        async with connected(patient) as tape:
            delays = await _delays_us(tape)
    except TapeUnavailable as error:
        return AREA.skipped("broker", f"the tape cannot be read: {error.why}")
    if not delays:
        return AREA.skipped("broker", f"nothing came to the tape within {_LISTEN_S:.0f} s")
    return check_drift("broker", min(delays, key=abs), "the newest tape record was stored")


async def _delays_us(tape: NatsTape) -> list[int]:
    """Return how long ago, by the host's clock, each of the next records was stored, by the broker's."""
    delays: list[int] = []
    records = tape.follow((await tape.bounds()).last + 1)
    try:
        async with asyncio.timeout(_LISTEN_S):
            async for batch in records:
                delays += [time.time_ns() // 1_000 - record.stored_us for record in batch[-1:]]
                if len(delays) >= _DELIVERIES:
                    break
    except TimeoutError:
        # What came until then is what there is.
        return delays
    finally:
        await records.aclose()
    return delays


async def _against_database(patient: Patient) -> CheckResult:
    try:
        async with logged_in(patient.layout.secrets(READER) / POSTGRES_DSN) as connection:
            await connection.fetchval("SELECT 1")
            asked_us = time.time_ns() // 1_000
            now_us = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            answered_us = time.time_ns() // 1_000
    except LOST as error:
        return AREA.skipped("database", f"it cannot be asked: {type(error).__name__}")
    return check_drift("database", (asked_us + answered_us) // 2 - now_us, "its now() was")


def check_drift(name: str, apart_us: int, what: str) -> CheckResult:
    """Judge a difference; positive when the host's clock is later."""
    side = "before" if apart_us >= 0 else "after"
    said = f"{what} {abs(apart_us) / 1_000:.1f} ms {side} the host's clock, at most {_WARN_US / 1_000:.0f} ms expected"
    if abs(apart_us) > _FAIL_US:
        return AREA.failed(name, said, _DO)
    return AREA.warned(name, said, _DO) if abs(apart_us) > _WARN_US else AREA.passed(name, said)


def _kernel_state() -> int | None:
    """Return what the kernel says of its clock, none where there is no such kernel or it does not say."""
    if sys.platform != "linux":
        return None
    state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if state < 0 else state


def check_synchronised(state: int | None) -> CheckResult:
    """Judge the kernel's word."""
    if state is None:
        return AREA.skipped("ntp", "the kernel does not say whether the clock is kept by NTP")
    if state == _UNSYNCHRONISED:
        return AREA.warned("ntp", "the kernel says that the clock is not synchronised, expected NTP or PTP", _DO)
    return AREA.passed("ntp", "the kernel says that the clock is synchronised")
