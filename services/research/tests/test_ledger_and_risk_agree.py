"""The books' treasury is risk's, to the last digit: two services, one arithmetic, the same tape."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_tape import COSTS, START_US, SyntheticDesk

from tollgate_contracts.config import config_hash
from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO, round_down
from tollgate_contracts.reconciliation import Account, Balance, Movement, MovementType
from tollgate_contracts.risk import Policy
from tollgate_contracts.strategy import Side
from tollgate_domain.policy_terms import PolicyTerms, terms_of
from tollgate_ledger.core import LedgerCore, Parameters
from tollgate_risk.core import RiskCore
from tollgate_risk.core.policy import PolicyDocument

SYMBOL = "BTC-USDT"
STEP = Decimal("0.00000001")
SHARE = "3333"
PARAMETERS = Parameters(quote_currency="USDT", symbols=(SYMBOL, "ETH-USDT"), costs=COSTS)

prices = st.decimals(min_value="2", max_value="1000", places=3)
quantities = st.decimals(min_value="0.00000001", max_value="10", places=8)
fees = st.decimals(min_value="-0.00001", max_value="0.01", places=8)
charged = st.sampled_from([("USDT", None), ("USDT", None), ("BTC", "100"), ("ETH", "300"), ("ETH", None), ("BNB", "2")])
quotes = st.tuples(st.just("quote"), prices)
clocks = st.just(("wait",))
buys = st.tuples(st.just("trade"), st.just(Side.BUY), quantities, prices, fees, charged)
# A sale is a share of what is held.
sales = st.tuples(st.just("trade"), st.just(Side.SELL), st.sampled_from([30, 90, 95]), prices, fees, charged)
busts = st.tuples(st.just("bust"), st.integers(min_value=0, max_value=60))
movements = st.tuples(
    st.just("move"),
    st.decimals(min_value="-10", max_value="10", places=8),
    st.sampled_from(MovementType),
    st.sampled_from([("USDT", None), ("USDT", None), ("BTC", None), ("BTC", "100")]),
)
# What is said again: another policy, one that cannot be read, what the account holds, what moved long before, and what
# moved in another account.
words = st.sampled_from(
    [
        ("policy", SHARE),
        ("policy", "1000"),
        ("unreadable",),
        ("account",),
        ("account", "other"),
        ("late",),
        ("elsewhere",),
    ]
)
# In which order the services come up, with quotes and clocks of a market that does not wait for them.
starts = st.permutations(["policy", "config", "account"])
between = st.lists(st.one_of(quotes, clocks, movements, words), max_size=3)
events = st.lists(st.one_of(quotes, clocks, buys, sales, sales, busts, movements, words), min_size=5, max_size=40)


class Two:
    """Risk and the ledger over one tape."""

    def __init__(self, held: str):
        self.tape = SyntheticDesk()
        self.risk, self.ledger = RiskCore(), LedgerCore()
        self.tape.cores = {"risk": self.risk, "ledger": self.ledger}
        self.held = {"USDT": Decimal(100_000), "BTC": Decimal(held), "ETH": Decimal(held)}
        self.fills = []

    def policy(self, share=SHARE):
        self.tape.policy({"cash.treasury_share_bps": share})

    def unreadable(self):
        self.tape.say(Policy, "risk", text="{}", hash=config_hash("{}"))

    def config(self):
        self.tape.config("ledger", PARAMETERS.model_dump(mode="json"))

    def account(self, name="main"):
        held = self.held.items()
        balances = tuple(Balance(currency=currency, free=amount, locked=ZERO) for currency, amount in held)
        fees_bps = {"maker_fee_bps": Decimal(5), "taker_fee_bps": Decimal(10)}
        self._venue(Account, name, balances=balances, positions=(), **fees_bps)

    def quote(self, price):
        self.tape.quote(str(price), SYMBOL)

    def wait(self):
        self.tape.wait(1_000)

    def trade(self, side, size, price, fee, charged):
        if side is Side.SELL:
            size = round_down(self.risk.state.held(SYMBOL) * size / 100, STEP)
        if size <= ZERO:
            return
        currency, rate = charged
        made = VenueTrade(
            trade_id=f"t{len(self.tape.messages)}",
            price=price,
            quantity=size,
            fee=fee,
            fee_currency=currency,
            liquidity=Liquidity.TAKER,
            venue_ts_us=self.tape.now_us,
        )
        rated = {"fee_rate": None if rate is None else Decimal(rate), "fee_rate_source": "quote:1" if rate else ""}
        fields = {"client_order_id": "tg" + "0" * 30, "symbol": SYMBOL, "side": side, "config_hash": "a" * 64}
        self.fills.append({**fields, **rated, "trade": made})
        self.tape.say(Fill, "execution", **self.fills[-1])

    def bust(self, which):
        if self.fills:
            self.tape.say(Bust, "execution", **self.fills.pop(which % len(self.fills)))

    def move(self, amount, kind, what):
        currency, rate = what
        # What was quoted has a rate.
        if currency == "BTC" and rate is None and self.risk.state.quotes:
            return
        # No venue owes more than nothing.
        amount = max(amount, -self.held[currency])
        self.held[currency] += amount
        fields = {"movement_id": f"m{len(self.tape.messages)}", "movement": kind, "currency": currency}
        rated = {"rate": None if rate is None else Decimal(rate), "rate_source": "quote:1" if rate else ""}
        self._venue(Movement, "main", **fields, **rated, amount=amount, symbol=None)

    def late(self):
        fields = {"movement_id": f"m{len(self.tape.messages)}", "movement": MovementType.REBATE, "currency": "BTC"}
        rated = {"rate": Decimal(100), "rate_source": "quote:1"}
        self._venue(Movement, "main", **fields, **rated, amount=Decimal(1), symbol=None, venue_ts_us=START_US)

    def elsewhere(self):
        fields = {"movement_id": f"m{len(self.tape.messages)}", "movement": MovementType.REBATE, "currency": "USDT"}
        self._venue(Movement, "other", **fields, amount=Decimal(50), symbol=None)

    def _venue(self, kind, account, **fields):
        self.tape.now_us += 1
        stated = {"venue_ts_us": self.tape.now_us, **fields}
        self.tape.say(kind, "execution", venue="simulated", account=account, **stated)

    @property
    def capitals(self):
        """What may be traded with, what may not, and what is to be made good: of risk, and of the books."""
        risks, books = self.risk.state.results.capital, self.ledger.snapshot()["trade_log"]["capital"]
        return [(risks.trading, risks.treasury, risks.deficit)], [
            tuple(Decimal(books[name]) for name in ("trading", "treasury", "deficit"))
        ]

    @property
    def treasuries(self):
        booked = -self.ledger.balances.get(("equity:treasury", "USDT"), ZERO)
        return self.risk.state.treasury, booked


@given(st.sampled_from(["0", "2"]), starts, between, between, between, events)
@settings(max_examples=150, deadline=None)
def test_the_treasury_of_the_books_is_risks(held, order, first, second, third, drawn):
    """Whoever starts first, and whatever is bought, sold, taken back, paid in and charged in whatever currency."""
    two = Two(held)
    for start, meanwhile in zip(order, (first, second, third), strict=True):
        getattr(two, start)()
        for name, *arguments in meanwhile:
            getattr(two, name)(*arguments)
    # A policy that cannot be read may be in force, and the only statement out of date: both come again.
    two.policy()
    two.account()
    for name, *arguments in drawn:
        getattr(two, name)(*arguments)
        risks, booked = two.treasuries
        assert booked == risks
    risks, books = two.capitals
    assert books == risks
    assert two.ledger.opened
    assert two.risk.state.fault is None or "cannot be" in two.risk.state.fault


def test_the_books_read_of_a_policy_what_risk_reads():
    two = Two("0")
    two.policy()
    policy = two.tape.messages[0]
    terms, document = terms_of(policy), PolicyDocument.model_validate_json(policy.text)
    assert (terms.version, terms.venue, terms.account) == (document.version, document.venue, document.account)
    assert PolicyTerms.model_fields["version"].annotation == PolicyDocument.model_fields["version"].annotation
    assert terms.treasury_share_bps == document.rules.cash.treasury_share_bps == 3333
