"""The lease to trade: given while all is well, and withheld for each thing that is not."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import nats.errors
import pytest
from nacl.signing import VerifyKey

from tollgate_chassis.exits import Restart
from tollgate_contracts.approval import PERMIT_DOMAIN, Permit, Scope, SignedText
from tollgate_contracts.risk import KillLevel
from tollgate_risk.kill_latch import KillLatch
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.permits import LAG_MAX, PROGRESS_US_MAX, PermitIssuer
from tollgate_risk.signing import Signer

SIGNER = Signer(bytes(range(32)))
WALL_US = 1_700_000_000_000_000
MONOTONIC_US = 10_000_000


@dataclass
class Reader:
    """What the issuer sees of the runner."""

    identity: Any = field(default_factory=lambda: type("Identity", (), {"desk": "main"}))
    live: asyncio.Event = field(default_factory=asyncio.Event)
    position: int = 100
    tip: int = 100
    progress_us: int = MONOTONIC_US
    standby: str | None = None
    tenure: int = 0
    awake: bool = True

    def __post_init__(self) -> None:
        self.live.set()

    def vouches(self, monotonic_us: int) -> bool:
        return self.live.is_set() and self.awake


@pytest.fixture
def control(open_desk, tmp_path):
    return KillSwitchControl(open_desk.core, KillLatch(tmp_path))


@pytest.fixture
def issuer(open_desk, control):
    return PermitIssuer(open_desk.core, control, SIGNER, OwnPolicy(open_desk.core.state.policy))


def permit_of(signed: SignedText) -> Permit:
    return Permit.model_validate_json(signed.text)


async def test_a_permit_is_signed_lives_for_a_second_and_names_the_kill_epoch(open_desk, issuer):
    """Numbers rise, so that an older one can be told."""
    open_desk.kill(engaged=True, epoch=3)
    open_desk.kill(engaged=False, epoch=3)
    first, second = (issuer.issue(Reader(), WALL_US, MONOTONIC_US) for _ in range(2))
    VerifyKey(bytes.fromhex(SIGNER.public_key)).verify(
        PERMIT_DOMAIN + first.text.encode(), bytes.fromhex(first.signature)
    )
    assert permit_of(first) == Permit(
        scope=Scope.TRADE,
        desk="main",
        number=1,
        kill_epoch=3,
        issued_us=WALL_US,
        expires_us=WALL_US + 1_000_000,
        key_id=SIGNER.key_id,
    )
    assert permit_of(second).number == 2


async def test_it_is_withheld_from_the_call_that_stops_before_the_tape_hears_of_it(open_desk, issuer, control):
    """The latch alone is enough."""
    control.stop_now()
    assert not open_desk.core.state.kill.engaged
    assert issuer.issue(Reader(), WALL_US, MONOTONIC_US) is None
    assert issuer.why_withheld(Reader(), MONOTONIC_US) == ("the kill switch is engaged",)


async def test_it_is_withheld_while_the_tape_says_stop(open_desk, issuer):
    """The tape alone is enough."""
    open_desk.kill(engaged=True, epoch=1)
    assert issuer.issue(Reader(), WALL_US, MONOTONIC_US) is None


@pytest.mark.parametrize(("level", "scope"), [("HALT", None), ("CANCEL", None), ("FLATTEN", Scope.FLATTEN)])
async def test_while_engaged_it_lets_only_closing_orders_through_and_only_at_flatten(open_desk, issuer, level, scope):
    """Under the epoch of the engagement, which voids every approval before it."""
    open_desk.kill(engaged=True, epoch=5, level=level)
    signed = issuer.issue(Reader(), WALL_US, MONOTONIC_US)
    assert (signed and (permit_of(signed).scope, permit_of(signed).kill_epoch)) == (scope and (scope, 5))


async def test_closing_orders_are_let_through_only_once_the_tape_says_flatten(open_desk, issuer, control):
    """The latch alone stops, and lets nothing through: the epoch that its orders need is the tape's."""
    control.stop_now()
    control._latch.explain("ann", "drill", KillLevel.FLATTEN)
    assert issuer.issue(Reader(), WALL_US, MONOTONIC_US) is None
    open_desk.kill(engaged=True, epoch=1, level="HALT")
    assert issuer.issue(Reader(), WALL_US, MONOTONIC_US) is None
    open_desk.kill(engaged=True, epoch=2, level="FLATTEN")
    assert permit_of(issuer.issue(Reader(), WALL_US, MONOTONIC_US)).scope is Scope.FLATTEN


@pytest.mark.parametrize("reader", [{"progress_us": MONOTONIC_US - PROGRESS_US_MAX - 1}, {"tip": 101 + LAG_MAX}])
async def test_every_other_reason_to_withhold_holds_for_closing_orders_too(open_desk, issuer, reader):
    open_desk.kill(engaged=True, epoch=1, level="FLATTEN")
    assert issuer.issue(Reader(**reader), WALL_US, MONOTONIC_US) is None


@pytest.mark.parametrize(
    ("reader", "given"),
    [
        pytest.param({}, True, id="all is well"),
        pytest.param({"progress_us": MONOTONIC_US - PROGRESS_US_MAX}, True, id="progress as long ago as allowed"),
        pytest.param({"progress_us": MONOTONIC_US - PROGRESS_US_MAX - 1}, False, id="a microsecond longer"),
        pytest.param({"tip": 100 + LAG_MAX}, True, id="as far behind as allowed"),
        pytest.param({"tip": 101 + LAG_MAX}, False, id="a message further"),
    ],
)
async def test_it_is_withheld_by_a_reader_that_may_not_know_what_the_tape_says(issuer, reader, given):
    """A gate that has not read that it was told to stop must not permit."""
    assert (issuer.issue(Reader(**reader), WALL_US, MONOTONIC_US) is not None) == given


async def test_it_is_withheld_until_live(issuer):
    """While catching up the gate lives in the past."""
    reader = Reader()
    reader.live.clear()
    assert issuer.why_withheld(reader, MONOTONIC_US) == ("catching up with the tape",)


async def test_it_is_withheld_by_an_instance_that_stands_by_and_by_one_that_was_away(issuer):
    """Permits are not appended, so nothing but this keeps two gates from permitting at once."""
    asleep, follower = Reader(awake=False), Reader(standby="risk-2")
    follower.live.clear()
    assert issuer.issue(asleep, WALL_US, MONOTONIC_US) is None
    assert issuer.why_withheld(asleep, MONOTONIC_US) == ("another instance may be active",)
    assert issuer.why_withheld(follower, MONOTONIC_US) == ("standing by: risk-2 is active",)


async def test_a_gate_that_has_taken_over_numbers_its_permits_above_those_of_the_one_before(open_desk, control):
    """Execution believes the newer one at once, however long the older one has been at work."""
    own = OwnPolicy(open_desk.core.state.policy)
    before, after = (PermitIssuer(open_desk.core, control, SIGNER, own) for _ in range(2))
    for _ in range(50):
        last = before.issue(Reader(tenure=7), WALL_US, MONOTONIC_US)
    first = after.issue(Reader(tenure=8), WALL_US, MONOTONIC_US)
    assert permit_of(first).number > permit_of(last).number


async def test_it_is_withheld_under_another_policy_than_this_processs_own(open_desk, issuer):
    """A policy that was tightened counts from the start of the process that was given it."""
    open_desk.policy({"revision": 2})
    assert issuer.why_withheld(Reader(), MONOTONIC_US) == ("the policy in force is not the one of this process",)
    open_desk.policy_text("{")
    assert "no policy is in force" in issuer.why_withheld(Reader(), MONOTONIC_US)


@pytest.mark.parametrize("error", [nats.errors.ConnectionClosedError(), OSError("gone"), TimeoutError()])
async def test_a_broker_that_takes_no_permit_ends_the_process(issuer, error):
    """Crash-only: the supervisor starts it again, and meanwhile nothing is permitted."""

    async def publish(data: bytes) -> None:
        raise error

    reader = Reader(progress_us=2**62)
    with pytest.raises(Restart, match="a permit could not be published"):
        await issuer.run(reader, publish, 0.001)
