"""Monte Carlo: the blocks as defined, candles that stay whole, chances and drawdowns by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from typer.testing import CliRunner

from leverpack.backtest.run import run_backtest
from leverpack.candles.series import Candles, FundingSchedule, MarkSeries
from leverpack.cli import app
from leverpack.errors import LeverpackError, SettingError
from leverpack.sweep import Grid, SweepEngine
from leverpack.sweep.bootstrap import block_picks, history, shapes_of
from leverpack.sweep.market import market_from
from leverpack.sweep.montecarlo import (
    DAYS,
    DRAWDOWN,
    LIQUIDATIONS,
    RETURN,
    Chance,
    MonteCarlo,
    chance_of,
    closed_nets,
    monte_carlo,
    trade_order,
    with_first_liquidation,
)
from tests.cli.test_sweep import BASE
from tests.sweep.conftest import made_settings

HOUR = 3_600_000


# --- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stationary", "circular"])
@pytest.mark.parametrize("seed", range(4))
def test_blocks_are_as_defined(kind: str, seed: int) -> None:
    """Candle by candle: at the start of a block anywhere, else on to the next, around the end."""
    source, length, block = 17, 200, 5
    picks = block_picks(source, length, block, np.random.default_rng(seed), kind)
    rng = np.random.default_rng(seed)
    if kind == "stationary":
        is_new = [k == 0 or u < 1 / block for k, u in enumerate(rng.random(length))]
    else:
        is_new = [k % block == 0 for k in range(length)]
    starts = iter(rng.integers(0, source, sum(is_new)).tolist())
    by_hand, at = [], -1
    for new in is_new:
        at = next(starts) if new else (at + 1) % source
        by_hand.append(at)
    assert picks.tolist() == by_hand


def test_every_candle_is_as_likely_and_blocks_are_as_long_as_asked() -> None:
    source, length, block = 50, 400_000, 8
    picks = block_picks(source, length, block, np.random.default_rng(3))
    counts = np.bincount(picks, minlength=source)
    assert counts.std() / counts.mean() < 0.03
    jumps = np.flatnonzero((picks[1:] - picks[:-1]) % source != 1) + 1
    lengths = np.diff(np.concatenate([[0], jumps]))
    # A new block goes on by chance where the old one would have, one time in 50.
    assert lengths.mean() == pytest.approx(block / (1 - 1 / source), rel=0.02)
    shares = np.bincount(lengths)[1:40] / len(lengths)
    expected = stats.geom(1 / block * (1 - 1 / source)).pmf(np.arange(1, 40))
    assert np.abs(shares - expected).max() < 0.005


@pytest.mark.parametrize(
    ("block", "kind", "said"),
    [(0, "stationary", "--block 0"), (18, "circular", "1 to 17"), (3, "stationry", "did you mean")],
)
def test_blocks_that_cannot_be(block: int, kind: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        block_picks(17, 10, block, np.random.default_rng(0), kind)


# --- histories ------------------------------------------------------------------------------------


def small_market() -> Any:
    """Six candles with marks and settlements: none, one and two of them to a candle."""
    close = np.array([100.0, 110.0, 99.0, 120.0, 90.0, 108.0])
    before = np.concatenate([[100.0], close[:-1]])
    ts = 1_700_000_000_000 // HOUR * HOUR + HOUR * np.arange(6, dtype=np.int64)
    high, low = np.maximum(before, close) * 1.01, np.minimum(before, close) * 0.97
    candles = Candles(ts, before * 1.001, high, low, close, np.arange(6.0), HOUR, "BTC/USDT:USDT")
    mark = MarkSeries(
        before * 0.999, high * 0.995, low * 1.002, close * 1.003,
        np.array([False, True, False, False, True, False]), HOUR, "made",
    )  # fmt: skip
    bar = np.array([0, 2, 3, 3, 5])
    funding = FundingSchedule(
        bar, ts[bar] + np.array([0, 0, 0, 7, 3]), np.array([1.0, 2.0, 3.0, 4.0, 5.0]) * 1e-4,
        mark.open[bar] * 1.0001, np.zeros(5, np.bool_),
    )  # fmt: skip
    return market_from(made_settings(), candles, "BTC/USDT:USDT", mark, funding)


def test_a_history_candle_by_candle() -> None:
    whole = small_market()
    source, marks, paid = whole.feed.candles, whole.feed.mark, whole.feed.funding
    picks = np.array([2, 2, 0, 4, 1, 2, 3])  # of the candles after the first
    made = history(whole.settings, shapes_of(whole.feed), picks).feed
    level, settlements = float(source.close[-1]), []
    for k, at in enumerate(picks + 1):
        factor = level / source.close[at - 1]
        assert made.candles.ts[k] == source.ts[-1] + HOUR * (k + 1)
        assert made.candles.volume[k] == source.volume[at]
        for name in ("open", "high", "low", "close"):
            trade, mark = getattr(source, name)[at] * factor, getattr(marks, name)[at] * factor
            assert getattr(made.candles, name)[k] == pytest.approx(trade, rel=1e-12)
            assert getattr(made.mark, name)[k] == pytest.approx(mark, rel=1e-12)
        assert made.mark.fallback[k] == marks.fallback[at]
        for j in np.flatnonzero(paid.bar == at):
            late = made.candles.ts[k] + paid.ts[j] - source.ts[at]
            settlements.append((k, late, paid.rate[j], paid.price[j] * factor))
        level = float(made.candles.close[k])
    assert len(settlements) == len(made.funding) == 8
    paid = made.funding
    rows = zip(paid.bar, paid.ts, paid.rate, paid.price, strict=True)
    for mine, (bar, ts, rate, price) in zip(rows, settlements, strict=True):
        assert mine[:3] == (bar, ts, rate)
        assert mine[3] == pytest.approx(price, rel=1e-12)


def test_a_history_in_the_order_that_was_is_the_market_moved_up(made: SweepEngine) -> None:
    """The same candles at other prices and times: the same trades at a scaled price."""
    source = made.market
    shapes = shapes_of(source.feed)
    again = history(made.settings, shapes, np.arange(len(shapes)))
    assert again.bars == source.bars - 1
    factor = source.feed.candles.close[-1] / source.feed.candles.close[0]
    moved = np.asarray(source.columns.candles)[:, 1:] * factor
    assert np.allclose(again.columns.candles, moved, rtol=1e-9, atol=0.0)
    rates = source.columns.funding[2][-len(again.feed.funding) :]
    assert again.columns.funding[2].tolist() == rates.tolist()
    candles = again.feed.candles
    assert (np.diff(candles.ts) == HOUR).all()
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()


def test_too_few_candles(made: SweepEngine) -> None:
    candles = made.market.feed.candles.slice(0, 2)
    market = market_from(made.settings, candles, "BTC/USDT:USDT", None, None)
    with pytest.raises(SettingError, match="three candles"):
        monte_carlo(made.settings, [{}], market=market)


# --- many histories -------------------------------------------------------------------------------

SETS = Grid({"leverage": [2.0, 18.0, 21.0, 60.0, 900.0], "stop_loss_pct": [0.05]})


def few(made: SweepEngine, **more: Any) -> MonteCarlo:
    given: dict[str, Any] = {"histories": 12, "days": 40.0, "seed": 11, "workers": 1, **more}
    return monte_carlo(made.settings, SETS, market=made.market, **given)


@pytest.fixture(scope="module")
def drawn(made: SweepEngine) -> MonteCarlo:
    return few(made)


def test_the_figures_are_the_seeds(made: SweepEngine, drawn: MonteCarlo) -> None:
    same = drawn.values.tobytes()
    assert few(made, workers=2).values.tobytes() == same
    assert few(made, histories=5).values.tobytes() == drawn.values[:5].tobytes()
    assert few(made, seed=12).values.tobytes() != same
    assert few(made, kind="circular").values.tobytes() != same
    assert few(made, block=3).values.tobytes() != same


def test_each_history_is_a_backtest(made: SweepEngine, drawn: MonteCarlo) -> None:
    """Every figure again through Cerebro and the margin broker, on the history's own candles."""
    shapes = shapes_of(made.market.feed)
    for h, seed in enumerate(np.random.SeedSequence(11).spawn(2)):
        picks = block_picks(len(shapes), 960, 168, np.random.default_rng(seed))
        market = history(made.settings, shapes, picks)
        engine = SweepEngine(made.settings, market)
        for n in range(4):
            ran = engine.through_cerebro(n, SETS[n], "a test", most_trades=10_000)
            mine = drawn.values[h, n]
            assert mine[RETURN] == pytest.approx(ran.figure("return"), rel=1e-9, abs=1e-12)
            assert mine[DRAWDOWN] == pytest.approx(ran.figure("max_drawdown"), rel=1e-9)
            assert mine[LIQUIDATIONS] == ran.figure("liquidations")
            first = [t.exit_bar for t in ran.trades if t.reason == 9]
            assert mine[DAYS] == first[0] / 24 if first else math.isnan(mine[DAYS])


def test_a_late_first_liquidation_is_found(
    made: SweepEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"leverage": 18.0, "stop_loss_pct": 0.051}
    whole = with_first_liquidation(made, params)
    bars = [t.exit_bar for t in whole.trades if t.reason == 9]
    assert bars and whole.trades[0].reason != 9
    monkeypatch.setattr("leverpack.sweep.montecarlo._TRADES_FIRST", 1)
    late = with_first_liquidation(made, params)
    assert next(t.exit_bar for t in late.trades if t.reason == 9) == bars[0]


def test_refused_sets_have_no_figures(drawn: MonteCarlo) -> None:
    assert list(drawn.refused) == [4] and "leverage 900" in drawn.refused[4]
    assert np.isnan(drawn.values[:, 4]).all()
    assert not np.isnan(drawn.values[:, :4, :DAYS]).any()


def test_higher_leverage_is_liquidated_no_less_often(drawn: MonteCarlo) -> None:
    shares = [drawn.chance(n).share for n in range(4)]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[3] == 1.0
    assert drawn.quantiles(0, DAYS, [0.5])[0] != drawn.quantiles(0, DAYS, [0.5])[0]  # NaN
    median = drawn.quantiles(3, DAYS, [0.5])[0]
    assert median == np.median(drawn.values[:, 3, DAYS])


def test_bounds_of_a_chance() -> None:
    """Clopper and Pearson by the quantiles of the beta distribution."""
    for k, n in ((0, 50), (3, 50), (50, 50)):
        found = chance_of(k, n)
        low = stats.beta.ppf(0.025, k, n - k + 1) if k else 0.0
        high = stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
        assert found.share == k / n
        assert (found.low, found.high) == pytest.approx((low, high))
    assert chance_of(0, 10) == Chance(0.0, 0.0, pytest.approx(1 - 0.025**0.1), 10)


def test_the_largest_leverage_stops_at_the_first_that_fails() -> None:
    sets = [{"leverage": x, "stop": s} for s in (1, 2) for x in (3.0, 1.0, 2.0, 4.0)]
    values = np.zeros((100, 8, 4))
    values[:9, 0, LIQUIDATIONS] = 1.0  # 3x: 9 %
    values[:2, 2, LIQUIDATIONS] = 1.0  # 2x: 2 %
    values[:40, 5, LIQUIDATIONS] = 2.0  # 1x of the others
    found = MonteCarlo(tuple(sets), values, 365.0, {}).largest_leverage(0.05)
    assert [(f.others, f.leverage, f.sure) for f in found] == [
        ({"stop": 1}, 2.0, 1.0), ({"stop": 2}, None, None),
    ]  # fmt: skip
    (wide, _) = MonteCarlo(tuple(sets), values, 365.0, {}).largest_leverage(0.10)
    assert (wide.leverage, wide.sure) == (4.0, 2.0)


# --- the order of trades --------------------------------------------------------------------------


def test_the_nets_are_those_of_the_backtest(made: SweepEngine) -> None:
    result = run_backtest(made_settings(leverage=5.0))
    theirs = [t.net for t in result.trades if t.exit_time is not None]
    assert closed_nets(made, {"leverage": 5.0}).tolist() == pytest.approx(theirs, rel=1e-9)
    with pytest.raises(SettingError, match="leverage 900"):
        closed_nets(made, {"leverage": 900.0})


def test_the_order_of_two_trades() -> None:
    """+10 % and -20 %: four equally likely pairs with these drawdowns."""
    found = trade_order([10.0, -22.0], 100.0, orders=4_000, seed=1)
    assert found.real == pytest.approx(0.2)
    pairs = {0.0: 0.25, 0.2: 0.5, 0.36: 0.25}
    for drawdown, share in pairs.items():
        assert np.isclose(found.drawdowns, drawdown).mean() == pytest.approx(share, abs=0.03)
    assert set(np.round(found.returns, 10)) == {0.21, -0.12, -0.36}
    again = trade_order([10.0, -22.0], 100.0, orders=4_000, seed=1)
    assert again.drawdowns.tolist() == found.drawdowns.tolist()
    assert trade_order([10.0, -22.0], 100.0, orders=50, seed=2).drawdowns.tolist() != (
        found.drawdowns[:50].tolist()
    )


def test_a_block_of_all_trades_keeps_their_order() -> None:
    nets = [5.0, -8.0, 3.0, 9.0, -20.0]
    found = trade_order(nets, 100.0, orders=40, block=5, kind="circular")
    equity = 100.0 + np.cumsum(nets)
    assert found.returns == pytest.approx(np.full(40, equity[-1] / 100.0 - 1.0))


def test_all_lost_stays_lost() -> None:
    found = trade_order([-100.0, 50.0], 100.0, orders=100, seed=3)
    assert set(found.drawdowns.tolist()) == {0.0, 1.0}
    with pytest.raises(SettingError, match="no trade"):
        trade_order([], 100.0)


# --- the command ----------------------------------------------------------------------------------


def run(*more: str) -> Any:
    return CliRunner().invoke(app, ["montecarlo", *BASE[1:], *more])


GIVEN = ("--grid", "leverage=2,60", "--param", "stop_loss_pct=0.05", "--histories", "6", "--days",
         "30", "--workers", "1")  # fmt: skip


def test_the_command_answers_and_writes(tmp_path: Path) -> None:
    out, report = tmp_path / "drawn.parquet", tmp_path / "maps"
    done = run(*GIVEN, "--below", "0.6", "--out", str(out), "--report", str(report))
    assert done.exit_code == 0, done.output
    assert "is under 60.0%: 2x; its upper 95 % bound is under it too" in done.stdout
    table = pq.read_table(out)
    assert table.num_rows == 12
    told = json.loads(table.schema.metadata[b"leverpack.montecarlo"])
    assert told["days"] == 30.0 and told["settings"]["seed"] == 0
    assert table["days_to_liquidation"].null_count >= 6
    assert (report / "survival-leverage.png").is_file() and (report / "sweep.html").is_file()


def test_the_command_repeats() -> None:
    one, two = (run(*GIVEN, "--json", "--seed", "4").stdout for _ in range(2))
    assert json.loads(one) == json.loads(two)
    assert json.loads(one)["largest_leverage"] == [{"leverage": 2.0, "sure": None}]
    assert json.loads(run(*GIVEN, "--json").stdout) != json.loads(one)


def test_the_command_draws_trades() -> None:
    done = run("--grid", "leverage=2,5", "--trades", "--histories", "50", "--json")
    rows = json.loads(done.stdout)
    assert [row["leverage"] for row in rows] == [2.0, 5.0]
    for row in rows:
        assert row["max_drawdown_5"] <= row["max_drawdown_50"] <= row["max_drawdown_95"]
    assert "ends in loss" in run("--grid", "leverage=2", "--trades", "--histories", "9").stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--below", "5"), "--below"),
        (("--days", "0.01"), "--days 0.01"),
        (("--block", "9000"), "--block 9000"),
        (("--kind", "circle"), "did you mean circular"),
        (("--trades", "--out", "x.parquet"), "--out does not go with --trades"),
    ],
)
def test_mistakes_are_named(more: tuple[str, ...], said: str) -> None:
    done = run("--grid", "leverage=2", *more)
    assert isinstance(done.exception, LeverpackError), done.output
    assert said in str(done.exception)
