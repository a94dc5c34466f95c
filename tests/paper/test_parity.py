"""One order script, twice: in a backtest on the margin broker, and through ccxt in lock-step."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import pytest

from leverpack.paper.client import point_at
from tests.backtest.desk import Desk, Scripted, run
from tests.paper.stand import HOUR, START, UNIFIED, Row, Stand, serving, session, tape, walk

ccxt = pytest.importorskip("ccxt")
SYMBOL = "BTCUSDT"
CASH = 10_000.0
FEES = {"maker": 0.0002, "taker": 0.0005}
Action = tuple[Any, ...]  # ("market", side, size), ("bracket", stop, target), ("limit", ...), ...
Script = dict[int, list[Action]]


@dataclass
class Seen:
    """What a run left behind; every list has an entry per candle or per fill."""

    fills: list[tuple[str, float, float, float]] = field(default_factory=list)
    wallets: list[float] = field(default_factory=list)
    equities: list[float] = field(default_factory=list)
    positions: list[tuple[float, float]] = field(default_factory=list)
    funding: float = 0.0
    liquidations: int = 0


# -- the backtest --------------------------------------------------------------------------------


class Recorder(Scripted):
    """Does the script's actions and writes down every fill and every close."""

    seen: Seen

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def next(self) -> None:
        seen, broker = self.seen, self.broker
        position = broker.market(self.data).state
        seen.wallets.append(broker.account.wallet)
        seen.equities.append(broker.account.equity({SYMBOL: self.data.close[0]}))
        seen.positions.append((position.size, position.entry))
        for action in self.p.script.get(len(self), ()):
            getattr(self, f"do_{action[0]}")(*action[1:])

    def notify_order(self, order: Any) -> None:
        if order.status in (order.Completed, order.Partial):
            seen, done = self.seen, order.executed
            fee = done.comm if not order.info.get("liquidation") else order.info["fee"]
            side = "buy" if order.isbuy() else "sell"
            seen.fills.append((side, abs(done.size), done.price, fee))
            seen.liquidations += bool(order.info.get("liquidation"))

    def do_market(self, side: str, size: float) -> None:
        (self.buy if side == "buy" else self.sell)(size=size)

    def do_limit(self, side: str, size: float, price: float) -> None:
        make = self.buy if side == "buy" else self.sell
        self.waiting.append(make(size=size, exectype=bt.Order.Limit, price=price))

    def do_bracket(self, stop: float, target: float) -> None:
        size = self.position.size
        if not size:
            return
        make = self.sell if size > 0 else self.buy
        kinds = ((bt.Order.Stop, stop), (bt.Order.Limit, target))
        for kind, price in kinds:
            self.waiting.append(make(size=abs(size), exectype=kind, price=price, reduce_only=True))

    def do_cancel(self) -> None:
        for order in self.waiting:
            if order.alive():
                self.cancel(order)
        self.waiting.clear()


def backtest(rows: list[Row], script: Script, **setting: Any) -> Seen:
    seen = Seen()
    recorder = type("Recording", (Recorder,), {"seen": seen})
    rates = {
        bt.num2date(bt.date2num(_when(at))).isoformat(): rate
        for at, rate in setting.pop("funding", ())
    }
    desk: Desk = run(
        rows, script, strategy=recorder, symbol=SYMBOL, cash=CASH, tiers="builtin", step=0.001,
        tick=0.1, rates=rates or None, **FEES, **setting,
    )  # fmt: skip
    seen.funding = desk.broker.account.costs.funding
    return seen


def _when(at: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp((START + at * HOUR) / 1000, UTC).replace(tzinfo=None)


# -- the paper exchange through ccxt -------------------------------------------------------------


class Trader:
    """The same actions as calls of a ccxt client."""

    def __init__(self, stand: Stand) -> None:
        self.client = point_at(
            ccxt.binanceusdm({"apiKey": "paper", "secret": "paper", "enableRateLimit": False}),
            stand.url,
        )
        self.client.load_markets()

    def do_market(self, side: str, size: float) -> None:
        self.client.create_order(UNIFIED, "market", side, size)

    def do_limit(self, side: str, size: float, price: float) -> None:
        self.client.create_order(UNIFIED, "limit", side, size, price)

    def do_bracket(self, stop: float, target: float) -> None:
        held = self.client.fetch_positions([UNIFIED])
        if not held:
            return
        side = "sell" if held[0]["side"] == "long" else "buy"
        size, only = held[0]["contracts"], {"reduceOnly": True}
        self.client.create_order(
            UNIFIED, "market", side, size, None, {"stopLossPrice": stop, **only}
        )
        self.client.create_order(UNIFIED, "limit", side, size, target, only)

    def do_cancel(self) -> None:
        self.client.cancel_all_orders(UNIFIED)
        self.client.cancel_all_orders(UNIFIED, {"trigger": True})


def paper(rows: list[Row], script: Script, *, leverage: int, margin_mode: str,
          funding: list[tuple[int, float]] | None = None) -> Seen:  # fmt: skip
    seen = Seen()
    held = session(
        tape(rows, funding=funding or ()), deposit=CASH, leverage=leverage,
        isolated=margin_mode == "isolated", **FEES,
    )  # fmt: skip
    books = held.exchange.books

    def closed(played: Any, what: str) -> None:
        if what == "closed":
            position = books.position(SYMBOL)
            seen.wallets.append(books.account.wallet)
            seen.equities.append(books.account.equity(books.marks))
            seen.positions.append((position.size, position.entry))

    held.exchange.market_listeners.append(closed)
    with serving(held) as stand:
        trader = Trader(stand)
        for bar in range(1, len(rows) + 1):
            stand.step()
            for action in script.get(bar, ()) if bar < len(rows) else ():
                getattr(trader, f"do_{action[0]}")(*action[1:])
        client = trader.client
        forced = {str(f.order.id): f.fee for f in held.exchange.forced}
        assert forced.keys() == {str(o["orderId"]) for o in client.fapiPrivateGetForceOrders()}
        seen.liquidations = len(forced)
        for trade in client.fetch_my_trades(UNIFIED, limit=1000):
            fee = forced.get(trade["order"], trade["fee"]["cost"])
            seen.fills.append((trade["side"], trade["amount"], trade["price"], fee))
        paid = client.fetch_funding_history(UNIFIED, limit=1000)
        seen.funding = sum(row["amount"] for row in paid)
        total = client.fetch_balance()["USDT"]["total"]
        assert total == pytest.approx(seen.equities[-1], abs=1e-6)
    return seen


def same(one: Seen, two: Seen) -> None:
    """Fills, fees, funding, positions, wallet and equity agree to the venue's eight decimals."""
    assert len(one.fills) == len(two.fills)
    for a, b in zip(one.fills, two.fills, strict=True):
        assert (a[0], a[1]) == (b[0], pytest.approx(b[1], abs=1e-9))
        assert a[2] == pytest.approx(b[2], abs=0.005)  # a liquidation is shown on the venue's grid
        assert a[3] == pytest.approx(b[3], abs=1e-8)
    assert one.liquidations == two.liquidations
    assert one.funding == pytest.approx(two.funding, abs=1e-6)
    for a, b in zip(one.positions, two.positions, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    assert one.wallets == pytest.approx(two.wallets, abs=1e-6)
    assert one.equities == pytest.approx(two.equities, abs=1e-6)


# -- scripts -------------------------------------------------------------------------------------


def script_of(rows: list[Row], seed: int) -> Script:
    """A random script: entries, brackets around them, additions, resting limits, exits."""
    dice = random.Random(seed)
    script: Script = {}
    for bar in range(2, len(rows)):
        close = rows[bar - 1][3]
        draw = dice.random()
        if draw < 0.20:
            side, size = dice.choice(["buy", "sell"]), dice.randint(5, 60) / 1000
            script[bar] = [("cancel",), ("market", side, size)]
        elif draw < 0.40:
            up = round(close * (1 + dice.uniform(0.004, 0.02)), 1)
            down = round(close * (1 - dice.uniform(0.004, 0.02)), 1)
            script[bar] = [("cancel",), ("bracket*", down, up)]
        elif draw < 0.50:
            side = dice.choice(["buy", "sell"])
            off = 1 - dice.uniform(0.002, 0.01) * (1 if side == "buy" else -1)
            script[bar] = [("limit", side, dice.randint(5, 30) / 1000, round(close * off, 1))]
    return script


def resolved(script: Script, positions: list[tuple[float, float]]) -> Script:
    """Brackets turned to the side of the position that the backtest had at that candle."""
    found: Script = {}
    for bar, actions in script.items():
        found[bar] = []
        for action in actions:
            if action[0] == "bracket*":
                size = positions[bar - 1][0]
                down, up = action[1:]
                action = ("bracket", down, up) if size > 0 else ("bracket", up, down)
            found[bar].append(action)
    return found


def do_turned(self: Recorder, down: float, up: float) -> None:
    self.do_bracket(*((down, up) if self.position.size > 0 else (up, down)))


setattr(Recorder, "do_bracket*", do_turned)
FUNDING = [(at, 0.0004 * (1 if at % 16 else -1)) for at in range(8, 120, 8)]


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_script_leaves_the_same_books(mode: str, seed: int):
    rows = walk(120, seed=seed, swing=0.006)
    script = script_of(rows, seed)
    expected = backtest(rows, script, leverage=10, margin_mode=mode, funding=FUNDING)
    assert len(expected.fills) > 15
    assert expected.funding
    got = paper(
        rows, resolved(script, expected.positions), leverage=10, margin_mode=mode, funding=FUNDING
    )
    same(expected, got)


def test_gaps_liquidations_and_both_stop_and_target_in_one_candle():
    hour = 100_000.0
    rows: list[Row] = [
        (hour, hour + 500, hour - 500, hour),
        (hour, hour + 500, hour - 500, hour + 100),  # long 0.05 at this open
        (hour + 100, hour + 4_000, hour - 4_000, hour),  # stop and target: the stop counts
        (hour, hour + 500, hour - 500, hour),  # short 0.05, with a stop that rests
        (hour, hour + 900, hour - 500, hour + 100),
        (hour + 2_500, hour + 2_600, hour + 2_400, hour + 2_500),  # a gap past the stop
        (hour + 2_500, hour + 2_600, hour + 2_400, hour + 2_500),  # long 0.5 at 20x
        (hour + 2_500, hour + 2_600, hour - 4_000, hour - 3_000),  # liquidated inside
        (hour - 3_000, hour - 2_900, hour - 3_100, hour - 3_000),  # long 0.4 at 20x
        (hour - 9_000, hour - 8_900, hour - 9_100, hour - 9_000),  # opens beyond liquidation
        (hour - 9_000, hour - 8_900, hour - 9_100, hour - 9_000),
    ]
    script: Script = {
        1: [("market", "buy", 0.05)],
        2: [("bracket", hour - 2_000, hour + 2_000)],
        3: [("cancel",), ("market", "sell", 0.05)],
        4: [("bracket", hour + 1_000, hour - 2_000)],
        6: [("cancel",), ("market", "buy", 0.5)],
        8: [("market", "buy", 0.4)],
    }
    expected = backtest(rows, script, leverage=20, margin_mode="isolated")
    assert expected.liquidations == 2
    same(expected, paper(rows, script, leverage=20, margin_mode="isolated"))
