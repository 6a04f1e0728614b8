"""The lease without which nothing is sent: risk renews it, and its silence ends it within a second.

Two clocks count: the permit's own expiry on the wall clock, so that an old permit cannot be kept back and handed
over later, and its life on the monotonic clock from its receipt, so that a wall clock set back prolongs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from tollgate_contracts.approval import PERMIT_LIFE_US_MAX, Permit, SignedText
from tollgate_contracts.reasons import Reason

# A signed permit has some 600 bytes.
_PERMIT_BYTES_MAX = 8_192


class PermitFault(StrEnum):
    """Why a permit was not taken."""

    UNREADABLE = "unreadable"
    """It is no signed text, or what was signed is no permit."""
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    """The signature does not verify."""
    OTHER_DESK = "other_desk"
    TOO_LONG = "too_long"
    """It claims to live longer than any permit may."""
    STALE = "stale"
    """It has expired before it came."""
    OUT_OF_ORDER = "out_of_order"
    """It is not newer than the one held: a copy, or one that was kept back."""


@dataclass(frozen=True, slots=True)
class _Held:
    permit: Permit
    received_us: int
    """Monotonic."""
    lapses_us: int
    """Monotonic."""


class PermitHolder:
    """The newest permit; times are given by the caller, wall clock and monotonic, in microseconds."""

    def __init__(self, desk: str, verify: Callable[[SignedText], Reason | None]) -> None:
        self._desk = desk
        self._verify = verify
        self._held: _Held | None = None

    def offer(self, data: bytes, wall_us: int, monotonic_us: int) -> PermitFault | None:
        """Take a permit as it came from the broker, or say why not; the signature is verified before it is read."""
        if len(data) > _PERMIT_BYTES_MAX:
            return PermitFault.UNREADABLE
        try:
            signed = SignedText.model_validate_json(data)
        except ValidationError:
            return PermitFault.UNREADABLE
        broken = self._verify(signed)
        if broken is not None:
            return PermitFault.UNKNOWN_KEY if broken is Reason.APPROVAL_UNKNOWN_KEY else PermitFault.FORGED
        try:
            permit = Permit.model_validate_json(signed.text)
        except ValidationError:
            return PermitFault.UNREADABLE
        fault = self._fault(permit, signed, wall_us, monotonic_us)
        if fault is None:
            life_us = min(permit.expires_us - permit.issued_us, PERMIT_LIFE_US_MAX)
            self._held = _Held(permit, monotonic_us, monotonic_us + life_us)
        return fault

    def _fault(self, permit: Permit, signed: SignedText, wall_us: int, monotonic_us: int) -> PermitFault | None:
        faults = (
            (PermitFault.FORGED, permit.key_id != signed.key_id),
            (PermitFault.OTHER_DESK, permit.desk != self._desk),
            (PermitFault.TOO_LONG, not 0 < permit.expires_us - permit.issued_us <= PERMIT_LIFE_US_MAX),
            # One issued further ahead than it may live is from a clock that is not ours.
            (PermitFault.STALE, not permit.issued_us - PERMIT_LIFE_US_MAX < wall_us < permit.expires_us),
            (PermitFault.OUT_OF_ORDER, not self._is_newer(permit, wall_us, monotonic_us)),
        )
        return next((fault for fault, applies in faults if applies), None)

    def _is_newer(self, permit: Permit, wall_us: int, monotonic_us: int) -> bool:
        if self._held is None:
            return True
        if self._is_fresh(self._held, wall_us, monotonic_us):
            return permit.number > self._held.permit.number
        # The held one has lapsed, so risk may have started again and counts from one: now its time must be later.
        return permit.issued_us > self._held.permit.issued_us

    def fresh(self, wall_us: int, monotonic_us: int) -> Permit | None:
        """Return the permit by which sending is permitted now, in its kill epoch and scope, or none."""
        held = self._held
        return held.permit if held and self._is_fresh(held, wall_us, monotonic_us) else None

    def fresh_epoch(self, wall_us: int, monotonic_us: int) -> int | None:
        """Return the kill epoch for which sending is permitted now, or none."""
        permit = self.fresh(wall_us, monotonic_us)
        return None if permit is None else permit.kill_epoch

    def age_us(self, monotonic_us: int) -> int | None:
        """Return how long ago the newest permit came, or none when there was none."""
        return monotonic_us - self._held.received_us if self._held else None

    @staticmethod
    def _is_fresh(held: _Held, wall_us: int, monotonic_us: int) -> bool:
        return wall_us < held.permit.expires_us and held.received_us <= monotonic_us < held.lapses_us
