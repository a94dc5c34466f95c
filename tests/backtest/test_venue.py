"""One run at different venues: what differs is what the venues do differently, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzers import MarginAnalyzer
from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.run import run_backtest
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.feed import CandleFeed
from leverpack.errors import SettingError
from leverpack.margin.profiles import PROFILES, venue_profile
from leverpack.margin.tiers import TierTable
from tests.backtest.desk import Desk, Row, Scripted, frame, funding, marks, run
from tests.backtest.test_invariant import KINDS, STEPS, TABLE, Restless, candles
from tests.conftest import ROOT

QUIET: Row = (100.0, 100.0, 100.0, 100.0)
ONE = TierTable.flat("TEST/USDT", 0.01, 50.0, 0.0)
KRAKEN = venue_profile("kraken")
BINANCE = venue_profile("binance")


def buy(size: float = 10.0) -> Any:
    return lambda s: s.buy(size=size)


def sell(size: float = 10.0) -> Any:
    return lambda s: s.sell(size=size)


def close(s: Any) -> Any:
    return s.close()


# -- two venues, one run ---------------------------------------------------------------------------

FALL: list[Row] = [QUIET, QUIET, (100.0, 100.0, 90.0, 92.0), (92.0, 93.0, 91.0, 92.0)]
TRIP = {1: buy(), 3: close}


def trip(venue: str, **more: Any) -> Desk:
    return run(
        FALL, TRIP, venue=venue, leverage=5.0, tiers=ONE, maker=None, taker=None,
        rates={"2025-01-01T02:00Z": 0.001}, **more,
    )  # fmt: skip


def test_two_perpetual_venues_differ_by_their_fees_alone_on_a_harmless_path():
    binance, bybit = trip("binanceusdm"), trip("bybit")
    assert [dataclasses.astuple(f) for f in binance.fills] == [
        dataclasses.astuple(f) for f in bybit.fills
    ]
    traded = 10.0 * 100.0 + 10.0 * 92.0
    assert binance.broker.costs().fees == pytest.approx(traded * 0.0005)
    assert bybit.broker.costs().fees == pytest.approx(traded * 0.00055)
    assert binance.broker.costs().funding == bybit.broker.costs().funding == pytest.approx(-1.0)
    gap = binance.broker.getvalue() - bybit.broker.getvalue()
    assert gap == pytest.approx(traded * 0.00005)


@pytest.mark.parametrize(
    ("venue", "price"),
    [
        ("binanceusdm", (200.0 - 1_000.0) / (10.0 * (0.01 - 1.0))),
        ("bybit", 100.0 - (200.0 - 10.0) / 10.0),
        ("okx", (1_000.0 - 200.0) / (10.0 * (1.0 - 0.01 - 0.0005))),
        ("kucoinfutures", 100.0 - (200.0 - 10.0) / 10.0),
        ("hyperliquid", (200.0 - 1_000.0) / (10.0 * (1.0 / 80.0 - 1.0))),
    ],
)
def test_the_broker_triggers_on_the_venues_own_price(venue, price):
    """A tick above it nothing happens; a candle that touches it is the end, at that price."""
    table = dataclasses.replace(ONE, max_leverages=(40.0,))
    for low, times in ((price + 0.001, 0), (price - 0.001, 1)):
        rows = [QUIET, QUIET, (100.0, 100.0, low, 95.0), QUIET]
        broker = run(
            rows, {1: buy()}, venue=venue, leverage=5.0, tiers=table, maker=None, taker=None
        ).broker
        assert [x.price for x in broker.liquidations] == [pytest.approx(price)] * times


def test_funding_moves_bybits_price_as_it_eats_the_margin():
    prices: list[float | None] = []
    script = {1: buy(), **{i: lambda s: prices.append(s.broker.liquidation_price(s.data))
                           for i in (2, 3)}}  # fmt: skip
    run([QUIET] * 3, script, venue="bybit", leverage=5.0, tiers=ONE,
        rates={"2025-01-01T02:00Z": 0.01})  # fmt: skip
    assert prices == [pytest.approx(81.0), pytest.approx(82.0)]


def test_cross_positions_go_by_the_general_rule_at_every_perpetual_venue():
    price = (10_000.0 - 20_000.0) / (200.0 * (0.01 - 1.0))
    for venue in ("binanceusdm", "bybit", "kucoinfutures"):
        desk = run([QUIET] * 3, {1: buy(200.0)}, venue=venue, leverage=5.0, tiers=ONE,
                   margin_mode="cross")  # fmt: skip
        data = next(iter(desk.broker.markets))
        assert desk.broker.liquidation_price(data) == pytest.approx(price)


def test_the_rule_is_evaluated_when_the_position_changes_and_not_on_quiet_candles():
    seen: list[float] = []

    def counted(position: Any) -> float:
        seen.append(position.wallet)
        return PROFILES["bybit"].rule(position)

    profile = dataclasses.replace(PROFILES["bybit"], rule=counted)
    run([QUIET] * 200, {1: buy(), 100: close}, venue=profile, leverage=5.0, tiers=ONE)
    assert seen == [200.0]


def test_the_default_is_binance_usdm_with_its_old_figures():
    broker = MarginBroker()
    assert (broker.p.maker, broker.p.taker, broker.p.interest_hourly) == (0.0002, 0.0005, 0.0)
    assert broker.profile is PROFILES["binanceusdm"] and not broker.p.close_fee


def test_a_given_fee_wins_over_the_venues():
    broker = MarginBroker(venue="kraken", taker=0.001, interest_hourly=0.0)
    assert (broker.p.maker, broker.p.taker, broker.p.interest_hourly) == (0.0025, 0.001, 0.0)
    own = dataclasses.replace(KRAKEN, rollover_fee=0.0, opening_fee=0.0)
    desk = run([QUIET] * 12, {1: buy()}, venue=own, leverage=5.0)
    assert desk.broker.costs().interest == 0.0


# -- spot margin: what borrowing costs -------------------------------------------------------------


def interest_at(
    rows: list[Row], side: Any, venue: Any, leverage: float, **more: Any
) -> list[float]:
    """Interest to date as seen at the close of each candle."""
    seen: list[float] = []

    def look(s: Any) -> None:
        seen.append(s.broker.costs().interest)

    def first(s: Any) -> None:
        look(s)
        side(s)

    script = {1: first, **dict.fromkeys(range(2, len(rows) + 1), look)}
    run(rows, script, venue=venue, leverage=leverage, **more)
    return seen


def test_kraken_long_pays_opening_and_every_four_hours_on_the_quote_it_borrowed():
    seen = interest_at([QUIET] * 12, buy(), "kraken", 5.0)
    fee = 10.0 * 100.0 * 4.0 / 5.0 * 0.0002
    # Filled at 01:00 with the opening fee; rollovers at 05:00 and 09:00.
    assert seen == pytest.approx([0.0] + [fee] * 4 + [2 * fee] * 4 + [3 * fee] * 3)


def test_kraken_short_pays_on_the_coins_at_their_mark():
    rows = [QUIET] * 3 + [(100.0, 101.0, 99.0, 101.0), (101.0, 103.0, 101.0, 103.0)]
    rows += [(103.0, 104.0, 103.0, 103.0)] * 2
    marked = [(o, h, lo, c) if i != 5 else (102.0, 104.0, 102.0, 103.0)
              for i, (o, h, lo, c) in enumerate(rows)]  # fmt: skip
    seen = interest_at(rows, sell(), "kraken", 5.0, mark=marked)
    opening, rollover = 10.0 * 100.0 * 0.0002, 10.0 * 102.0 * 0.0002
    assert seen == pytest.approx([0.0] + [opening] * 4 + [opening + rollover] * 2)


def test_kraken_catches_up_over_a_hole_in_the_candles():
    rows = frame([QUIET] * 13).drop(index=list(range(3, 11)))  # nothing from 03:00 to 10:00
    desk, engine = Desk(MarginBroker(venue="kraken", leverage=5.0)), bt.Cerebro(stdstats=False)
    engine.setbroker(desk.broker)
    engine.adddata(CandleFeed(dataname=rows, symbol="TEST/USDT", on_fault="drop"))
    engine.addstrategy(Scripted, script={1: buy(10.0)}, desk=desk)
    engine.run()
    assert desk.broker.costs().interest == pytest.approx(3 * 800.0 * 0.0002)


def test_each_new_position_starts_its_own_four_hours():
    desk = run([QUIET] * 12, {1: buy(), 3: close, 5: buy(), 8: close}, venue="kraken", leverage=5.0)
    assert desk.broker.costs().interest == pytest.approx(2 * 800.0 * 0.0002)
    assert [t.interest for t in desk.broker.ledger.trades] == pytest.approx([0.16, 0.16])


def test_binance_margin_interest_goes_by_the_clock_hour():
    """Borrowed at 13:25 and repaid at 14:15: two clock hours are touched."""
    rows = frame([QUIET] * 5, start="2025-01-01 13:00", freq="25min")
    desk, engine = Desk(MarginBroker(venue="binance", leverage=5.0)), bt.Cerebro(stdstats=False)
    engine.setbroker(desk.broker)
    engine.adddata(CandleFeed(dataname=rows, symbol="TEST/USDT"))
    engine.addstrategy(Scripted, script={1: buy(10.0), 3: close}, desk=desk)
    engine.run()
    assert [f.bar for f in desk.fills] == [2, 4]
    assert desk.broker.costs().interest == pytest.approx(800.0 * 0.00001 * 2)


def test_binance_margin_short_owes_coins_at_the_mark():
    rows = [QUIET] * 2 + [(110.0, 110.0, 104.0, 104.0)]
    seen = interest_at(rows, sell(), "binance", 3.0)
    assert seen == pytest.approx([0.0, 1_000.0 * 0.00001, 2_100.0 * 0.00001])


# -- spot margin: levels ---------------------------------------------------------------------------


@pytest.mark.parametrize("leverage", [3.0, 5.0])
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("venue", ["kraken", "binance"])
def test_spot_margin_closes_at_its_level(venue, side, leverage):
    margin, notional = 1_000.0 / leverage, 1_000.0
    borrowed = notional * (leverage - 1.0) / leverage if side > 0.0 else notional
    if venue == "kraken":
        margin -= borrowed * 0.0002  # the opening fee
        price = (
            100.0 + (0.4 * notional / leverage - margin) / 10.0
            if side > 0.0
            else (margin + notional) / (10.0 * (1.0 + 0.4 / leverage))
        )
    else:
        debt = borrowed * 0.00001 * 2.0  # two clock hours: opened at 01:00, met at 02:00
        price = (
            1.1 * (borrowed + debt) / 10.0
            if side > 0.0
            else (notional + margin - 1.1 * debt) / (1.1 * 10.0)
        )
    for shift, times in ((0.001, 0), (-0.001, 1)):
        edge = price + side * shift
        row = (100.0, 100.0, edge, 100.0) if side > 0.0 else (100.0, edge, 100.0, 100.0)
        script = {1: buy() if side > 0.0 else sell()}
        broker = run([QUIET, QUIET, row], script, venue=venue, leverage=leverage).broker
        assert [x.price for x in broker.liquidations] == [pytest.approx(price, rel=1e-9)] * times


def calls(venue: str, lows: list[float], leverage: float = 5.0) -> Any:
    rows: list[Row] = [QUIET, QUIET, *((100.0, 100.0, low, 100.0) for low in lows)]
    broker, engine = MarginBroker(venue=venue, leverage=leverage), bt.Cerebro(stdstats=False)
    engine.setbroker(broker)
    engine.adddata(CandleFeed(dataname=frame(rows), symbol="TEST/USDT"))
    engine.addstrategy(Scripted, script={1: buy()}, desk=Desk(broker))
    engine.addanalyzer(MarginAnalyzer, _name="margin", call_ratio=broker.profile.call_ratio(5.0))
    return engine.run()[0].analyzers.margin.get_analysis()


def test_kraken_calls_at_level_80_and_a_run_knows_it():
    # With 160 of the margin of 200 left the level is 80 %: at 96, less the opening fee's 0.016.
    assert calls("kraken", [96.1, 97.0])["margin_calls"] == 0
    assert calls("kraken", [95.9, 97.0, 95.0])["margin_calls"] == 2
    found = calls("kraken", [88.1, 100.0])
    assert found["worst_margin_ratio"] == pytest.approx(1.0, abs=0.02) and not found["liquidations"]
    assert found["min_margin_level"] == pytest.approx(1.0, abs=0.001)  # levels are at the close


def test_the_call_ratio_of_the_broker_follows_venue_and_leverage():
    broker = MarginBroker(venue="binance", leverage=5.0)
    assert broker.call_ratio() == pytest.approx(1.1 / 1.16)
    asked: list[float] = []
    script = {2: lambda s: asked.append(s.broker.call_ratio(s.data))}
    run([QUIET] * 2, script, venue="binance", leverage=3.0)
    run([QUIET] * 2, script, venue="binance", leverage=5.0)
    run([QUIET] * 2, script, venue="bybit", leverage=5.0)
    assert asked == pytest.approx([1.1 / 1.3, 1.1 / 1.16, 0.8])


def test_a_liquidation_pays_the_venues_fee_unless_one_is_given():
    rows = [QUIET, QUIET, (100.0, 100.0, 85.0, 90.0)]
    for more, fee in (({}, KRAKEN.liquidation_fee), ({"liquidation_fee": 0.01}, 0.01)):
        taken = run(rows, {1: buy()}, venue="kraken", leverage=5.0, **more).broker.liquidations[0]
        assert taken.fee == pytest.approx(10.0 * taken.price * fee)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["kraken", "binance"])
def test_funding_is_refused_where_there_is_none(venue, tmp_path):
    title = PROFILES[venue].title
    with pytest.raises(SettingError, match=f"{title} is spot margin without funding"):
        run([QUIET] * 3, {1: buy()}, venue=venue, rates={"2025-01-01T02:00Z": 0.001})
    asked = BacktestSettings(data=tmp_path / "no.csv", funding=tmp_path / "f.csv", venue=venue)
    with pytest.raises(SettingError, match=rf"--funding .*f\.csv: {title} is spot margin"):
        asked.validate()


def test_leverage_above_the_cap_is_refused_before_and_during_a_run(tmp_path):
    with pytest.raises(SettingError, match="leverage 6 is above the 5x that Kraken allows"):
        MarginBroker(venue="kraken", leverage=6.0)
    with pytest.raises(SettingError, match="--leverage 6 is above the 5x that Binance margin"):
        BacktestSettings(data=tmp_path, venue="binance", leverage=6.0).validate()
    with pytest.raises(SettingError, match="5x that Kraken allows"):
        run([QUIET] * 2, {1: lambda s: s.broker.set_leverage(s.data, 7.0)}, venue="kraken")
    pair = TierTable.flat("TEST/USDT", 0.0, 10.0)
    desk = run([QUIET] * 3, {1: buy()}, venue="kraken", leverage=10.0, tiers=pair)
    assert [f.bar for f in desk.fills] == [2]


def test_an_unknown_venue_and_a_misplaced_close_fee_are_refused(tmp_path):
    with pytest.raises(SettingError, match="did you mean kraken"):
        MarginBroker(venue="kraaken")
    with pytest.raises(SettingError, match="did you mean bybit"):
        BacktestSettings(data=tmp_path, venue="bybitt").validate()
    with pytest.raises(SettingError, match="close_fee does not apply to Bybit"):
        MarginBroker(venue="bybit", close_fee=True)


def test_close_fee_moves_price_and_ratio_together():
    seen: list[float] = []

    def look(s: Any) -> None:
        price = s.broker.liquidation_price(s.data)
        seen.append(s.broker.account.margin_ratio({"TEST/USDT": price}, "TEST/USDT"))

    run([QUIET] * 3, {1: buy(), 3: look}, leverage=5.0, tiers=ONE, close_fee=True, taker=0.001)
    assert seen == [pytest.approx(1.0)]


# -- a run from files ------------------------------------------------------------------------------


def sample(venue: str, **more: Any) -> Any:
    given: dict[str, Any] = {
        "data": ROOT / "data" / "made_BTCUSDT_1h_2025.csv", "symbol": "BTC/USDT:USDT",
        "leverage": 5.0, "end": pd.Timestamp("2025-03-31").date(), **more,
    }  # fmt: skip
    return run_backtest(BacktestSettings(venue=venue, **given))


def test_a_run_states_its_venue_its_rule_and_its_fees():
    bybit = sample("bybit")
    assert bybit.assumptions[0] == (
        "Venue: Bybit (perpetual): maintenance margin valued at the entry price; "
        "fees maker 0.0200%, taker 0.0550% (of the lowest volume there)"
    )
    assert (bybit.run["venue"], bybit.run["taker"]) == ("bybit", 0.00055)
    assert any("which is Binance's" in said for said in bybit.assumptions)
    crossed = sample("bybit", margin_mode="cross", taker=0.0003).assumptions[0]
    assert "cross positions by the general rule" in crossed and "(as set)" in crossed
    assert "at the entry price" not in crossed
    hyper = sample("hyperliquid").assumptions
    assert any("1.25% maintenance margin, half the initial margin at 40x" in x for x in hyper)


def test_a_spot_margin_run_has_interest_no_funding_and_its_own_call_level():
    kraken = sample("kraken")
    assert kraken.run["venue"] == "kraken"
    totals = kraken.totals
    assert totals["interest"] > 0.0 and totals["funding"] == 0.0
    said = " | ".join(kraken.assumptions)
    assert "Kraken (spot margin)" in said and "Margin fees: 0.0200%" in said
    assert "funding" not in said and "5x at most" in said
    charged = sum(t.interest for t in kraken.trades)
    assert charged == pytest.approx(totals["interest"])


def test_the_command_line_picks_the_venue():
    command = [
        sys.executable, "-m", "leverpack", "backtest", "--json", "--leverage", "5", "--to",
        "2025-02-28", "--data", str(ROOT / "data" / "made_BTCUSDT_1h_2025.csv"), "--symbol",
        "BTC/USDT", "--venue",
    ]  # fmt: skip
    done = subprocess.run([*command, "okx"], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert (result["run"]["venue"], result["run"]["maker"]) == ("okx", 0.0002)
    wrong = subprocess.run([*command, "okkx"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "one of binanceusdm, bybit, okx" in wrong.stderr


# -- the money -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    venue=st.sampled_from([name for name in PROFILES if name != "binanceusdm"]),
    steps=st.lists(STEPS, min_size=5, max_size=30),
    plan=st.lists(
        st.tuples(
            st.sampled_from(KINDS), st.integers(-9, 9), st.integers(-8, 8).map(lambda x: x / 100.0)
        ),
        min_size=5, max_size=30,
    ),
    mark_steps=st.none() | st.lists(STEPS, min_size=30, max_size=30),
    rates=st.lists(st.integers(-30, 30), max_size=8),
    mode=st.sampled_from(["isolated", "cross"]),
    leverage=st.sampled_from([1.0, 3.0, 5.0]),
    dearly=st.booleans(),
)  # fmt: skip
def test_the_money_adds_up_at_every_venue(
    venue, steps, plan, mark_steps, rates, mode, leverage, dearly
):
    rows = candles(steps)
    profile = PROFILES[venue]
    if dearly and profile.is_spot_margin:  # borrowing at rates that hurt
        profile = dataclasses.replace(
            profile, interest_hourly=0.001, opening_fee=0.01, rollover_fee=0.01
        )
    times = pd.date_range("2025-01-01", periods=len(rates), freq="3h", tz="UTC")
    paid = {t.isoformat(): r / 1000.0 for t, r in zip(times, rates, strict=True)}
    feed = CandleFeed(
        dataname=frame(rows), symbol="T",
        mark=None if mark_steps is None else marks(candles(mark_steps[: len(rows)])),
        funding=funding(paid) if paid and profile.funding else None,
    )  # fmt: skip
    broker = MarginBroker(
        venue=profile, cash=1_000.0, leverage=leverage, margin_mode=mode, tiers=TABLE
    )
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(feed)
    book: list[float] = []
    cerebro.addstrategy(Restless, plan=plan, book=book)
    cerebro.run()
    assert len(book) == len(rows)
    trades = [*broker.ledger.trades, *broker.ledger.still_open(list(broker.markets.values()))]
    tolerance = 1e-9 * (broker.account._moved + 1.0)
    assert sum(t.net for t in trades) == pytest.approx(
        broker.getvalue() - broker.account.deposits, abs=tolerance
    )
    assert bool(broker.costs().funding) <= profile.funding
