"""The control door: how a drill or a test makes the exchange misbehave, signed like the account's calls.

Faults do not touch it: it answers in maintenance and under a ban, and goes by the true time when the venue's clock
is wrong.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from starlette.routing import Route

from tollgate_contracts.envelope import Currency, Symbol
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import Amount, plain
from tollgate_contracts.reconciliation import MovementType
from tollgate_simvenue import wire
from tollgate_simvenue.answers import json_answer, refusal_answer
from tollgate_simvenue.auth import ApiKey, authenticate
from tollgate_simvenue.core.model import Refusal, Refused
from tollgate_simvenue.core.units import TooPreciseError, parse_atoms
from tollgate_simvenue.fault_settings import FaultsSection
from tollgate_simvenue.floor import Floor
from tollgate_simvenue.requests import RefusedRequest, parse_object, read_body

# A plan of sixty-four rules with every number is a tenth of this.
PLAN_BYTES_MAX = 256 * 1024
_COMES_IN = frozenset({MovementType.DEPOSIT, MovementType.REBATE})
_GOES_OUT = frozenset({MovementType.WITHDRAWAL, MovementType.FEE})

Call = Callable[[Request, bytes], Response]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _MovementBody(_Body):
    type: MovementType
    currency: Currency
    amount: Amount
    symbol: Symbol | None = None

    @model_validator(mode="after")
    def _moves_its_own_way(self) -> "_MovementBody":
        if self.type is MovementType.UNEXPLAINED:
            raise ValueError("type UNEXPLAINED: a venue lists what it knows")
        wrong_in = self.type in _COMES_IN and self.amount < 0
        wrong_out = self.type in _GOES_OUT and self.amount > 0
        if wrong_in or wrong_out or self.amount == Decimal(0):
            raise ValueError(f"amount {plain(self.amount)}: above zero comes in, below zero goes out")
        return self


class _BustBody(_Body):
    trade_id: str


class _StatusBody(_Body):
    status: InstrumentStatus


class Control:
    """The routes under ``/sim/v1``."""

    def __init__(self, floor: Floor, key: ApiKey, faults: FaultsSection) -> None:
        self._floor = floor
        self._key = key
        self._section = faults

    def begin(self) -> None:
        """Put the configured plan in force, where there is one; the loop is running."""
        if self._section.rules:
            self._floor.put_faults(self._section.plan())

    def routes(self) -> list[Route]:
        """Return them."""
        table: list[tuple[str, str, Call]] = [
            ("GET", "/sim/v1/faults", self._faults),
            ("PUT", "/sim/v1/faults", self._put_faults),
            ("DELETE", "/sim/v1/faults", self._end_faults),
            ("POST", "/sim/v1/movements", self._move),
            ("POST", "/sim/v1/busts", self._bust),
            ("PUT", "/sim/v1/instruments/{symbol}", self._set_status),
        ]
        return [Route(path, self._handler(call), methods=[method]) for method, path, call in table]

    def _handler(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            body = await read_body(request, PLAN_BYTES_MAX)
            refused = authenticate(
                self._key, request.headers, request.method, request.url.path, body, self._floor.true_us()
            )
            return call(request, body) if refused is None else refusal_answer(refused)

        return handle

    def _faults(self, _request: Request, _body: bytes) -> Response:
        faults = self._floor.faults
        if faults is None:
            return json_answer({"seed": self._section.seed, "rules": [], "started_us": None, "banned_until_us": None})
        rules = [
            {**rule.model_dump(mode="json", exclude_defaults=True), "seen": seen, "happened": happened}
            for rule, (seen, happened) in zip(self._section.rules, faults.counts(), strict=True)
        ]
        banned_until_us = faults.banned_until_us if faults.banned_until_us > self._floor.true_us() else None
        return json_answer(
            {
                "seed": faults.plan.seed,
                "rules": rules,
                "started_us": faults.started_us,
                "banned_until_us": banned_until_us,
            }
        )

    def _put_faults(self, request: Request, body: bytes) -> Response:
        self._section = _read(FaultsSection, body)
        self._floor.put_faults(self._section.plan())
        return self._faults(request, body)

    def _end_faults(self, request: Request, body: bytes) -> Response:
        self._floor.put_faults(None)
        return self._faults(request, body)

    def _move(self, _request: Request, body: bytes) -> Response:
        asked = _read(_MovementBody, body)
        try:
            amount = parse_atoms(plain(abs(asked.amount)))
        except TooPreciseError as error:
            raise RefusedRequest(Refusal.TOO_PRECISE, "amount has more than 16 decimal places", "amount") from error
        signed = amount if asked.amount > 0 else -amount
        outcome = self._floor.move_money(asked.type, asked.currency, signed, asked.symbol)
        return refusal_answer(outcome) if isinstance(outcome, Refused) else json_answer(wire.movement(outcome))

    def _bust(self, _request: Request, body: bytes) -> Response:
        outcome = self._floor.bust(_read(_BustBody, body).trade_id)
        return refusal_answer(outcome) if isinstance(outcome, Refused) else json_answer(wire.bust(outcome))

    def _set_status(self, request: Request, body: bytes) -> Response:
        symbol = request.path_params["symbol"]
        if not self._floor.exchange.knows(symbol):
            raise RefusedRequest(Refusal.UNKNOWN_SYMBOL, f"{symbol[:40]} is not traded here", "symbol")
        self._floor.set_status(symbol, _read(_StatusBody, body).status)
        (changed,) = (each for each in self._floor.exchange.instruments() if each.symbol == symbol)
        return json_answer(wire.instrument(changed, self._floor.now_us()))


def _read(model: type[Any], body: bytes) -> Any:
    """Return the body as ``model``; raises ``RefusedRequest`` with every field at fault."""
    parse_object(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        entries = error.errors(include_url=False)
        message = "; ".join(f"{_where(entry['loc'])}: {entry['msg']}" for entry in entries)
        raise RefusedRequest(Refusal.INVALID_FIELD, message, _where(entries[0]["loc"])) from error


def _where(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place) or "body"
