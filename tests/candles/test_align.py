"""Marks and settlements against the trade candles, by hand and for anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.candles.align import align_mark, schedule_funding
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, Funding
from leverpack.errors import DataError
from tests.candles.helpers import HOUR, START, candles
from tests.conftest import needs_shared, real


def _funding(stamps: list[int], rates: list[float]) -> Funding:
    return Funding(np.array(stamps, np.int64), np.array(rates))


def test_marks_of_the_same_length_are_matched_by_time() -> None:
    trades = candles([10, 11, 12], [13, 14, 15], [9, 10, 11], [11, 12, 13])
    mark = candles([20, 22], [23, 25], [19, 21], [21, 23], start=START + HOUR, kind="mark")
    series = align_mark(trades, mark)
    assert series.low.tolist() == [9, 19, 21]
    assert series.high.tolist() == [13, 23, 25]
    assert series.fallback.tolist() == [True, False, False]
    assert "1 of 3" in series.note
    assert series.findings[0].count == 1


def test_finer_marks_are_summed_up_and_holes_fall_back() -> None:
    trades = candles([10, 11], [12, 13], [9, 10], [11, 12])
    half = HOUR // 2
    mark = candles([10, 9, 11], [11, 14, 12], [7, 8, 10], [9, 12, 11], step=half, kind="mark")
    series = align_mark(trades, mark)
    assert [c[0] for c in (series.open, series.high, series.low, series.close)] == [10, 14, 7, 12]
    assert series.fallback.tolist() == [False, True]  # half an hour of the second is missing
    assert series.low[1] == 10


def test_a_longer_mark_bounds_the_candles_inside_it() -> None:
    """Four hourly candles under one four-hour mark of 100, 110, 90, 104."""
    trades = candles(
        [101, 105, 88, 95], [106, 130, 96, 103], [99, 85, 80, 94], [105, 88, 95, 102]
    )
    mark = candles([100], [110], [90], [104], step=4 * HOUR, kind="mark")
    series = align_mark(trades, mark)
    assert series.open.tolist() == [100, 105, 90, 95]
    assert series.high.tolist() == [106, 110, 96, 104]
    assert series.low.tolist() == [99, 90, 90, 94]
    assert series.close.tolist() == [105, 90, 95, 104]
    assert not series.fallback.any()


def test_an_extreme_no_trade_reached_goes_to_the_nearest_candle() -> None:
    trades = candles(
        [100, 100, 99, 100], [101, 103, 101, 101], [99, 99, 97, 99], [100, 99, 100, 100]
    )
    mark = candles([100], [108], [92], [100], step=4 * HOUR, kind="mark")
    series = align_mark(trades, mark)
    assert series.low.tolist() == [99, 99, 92, 99]
    assert series.high.tolist() == [101, 108, 101, 101]


prices = st.integers(50, 150)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Candles, Candles]:
    """Trade candles and longer marks over any of them, whole windows or not."""
    count = draw(st.integers(1, 20))
    rows = [draw(st.lists(prices, min_size=4, max_size=4)) for _ in range(count)]
    skip = draw(st.integers(0, 3))
    trades = candles(
        [r[0] for r in rows], [max(r) for r in rows], [min(r) for r in rows], [r[3] for r in rows],
        start=START + skip * HOUR,
    )  # fmt: skip
    longs = [draw(st.lists(prices, min_size=4, max_size=4)) for _ in range(draw(st.integers(1, 6)))]
    mark = candles(
        [r[0] for r in longs], [max(r) for r in longs], [min(r) for r in longs],
        [r[3] for r in longs], step=4 * HOUR, kind="mark",
    )  # fmt: skip
    return trades, mark


@given(windows())
def test_the_windows_extremes_always_equal_the_marks(pair: tuple[Candles, Candles]) -> None:
    trades, mark = pair
    try:
        series = align_mark(trades, mark)
    except DataError:
        return  # the marks happen to be the trades
    assert (series.low <= np.minimum(series.open, series.close)).all()
    assert (series.high >= np.maximum(series.open, series.close)).all()
    window = np.searchsorted(mark.ts, trades.ts, "right") - 1
    for i in range(len(mark)):
        inside = (window == i) & ~series.fallback
        if inside.any():
            assert series.low[inside].min() == mark.low[i]
            assert series.high[inside].max() == mark.high[i]
    beyond = trades.ts >= mark.ts[-1] + 4 * HOUR
    assert (series.fallback == beyond).all()
    assert (series.low[beyond] == trades.low[beyond]).all()


def test_trade_candles_called_mark_are_refused() -> None:
    rng = np.random.default_rng(3)
    close = 100 + rng.normal(size=64).cumsum()
    opens = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opens, close) + 0.3, np.minimum(opens, close) - 0.3
    trades = candles(opens.tolist(), high.tolist(), low.tolist(), close.tolist())
    same = candles(opens.tolist(), high.tolist(), low.tolist(), close.tolist(), kind="mark")
    with pytest.raises(DataError, match="trade candles, not mark prices"):
        align_mark(trades, same)
    low8 = low.reshape(-1, 4).min(1)
    longer = candles(
        opens[::4].tolist(), high.reshape(-1, 4).max(1).tolist(), low8.tolist(),
        close[3::4].tolist(), step=4 * HOUR, kind="mark",
    )  # fmt: skip
    with pytest.raises(DataError, match="trade candles, not mark prices"):
        align_mark(trades, longer)
    with pytest.raises(DataError, match="trade candles, not mark prices"):
        align_mark(longer, same)
    moved = candles(
        (opens * 1.0001).tolist(), (high * 1.0001).tolist(), (low * 1.0001).tolist(),
        (close * 1.0001).tolist(), kind="mark",
    )  # fmt: skip
    assert not align_mark(trades, moved).fallback.any()


def test_settlements_are_charged_at_the_next_open_and_once() -> None:
    trades = candles([10, 11, 12, 13], [14] * 4, [9] * 4, [11] * 4)
    mark = candles([20, 21], [24] * 2, [19] * 2, [21] * 2, kind="mark")
    stamps = [START + int(h * HOUR) for h in (-1, 0, 0.5, 1, 3, 4)]
    plan = schedule_funding(trades, mark, _funding(stamps, [1, 2, 3, 4, 5, 6]))
    assert plan.bar.tolist() == [0, 1, 1, 3]
    assert plan.rate.tolist() == [2, 3, 4, 5]
    assert plan.price.tolist() == [20, 20, 21, 13]
    assert plan.fallback.tolist() == [False, False, False, True]
    codes = {f.code: f.count for f in plan.findings}
    assert codes["funding_outside"] == 2
    assert codes["funding_no_mark"] == 1
    assert codes["funding_earlier_mark"] == 1


def test_a_schedule_can_be_cut_to_the_bars_of_a_run() -> None:
    trades = candles([10, 11, 12, 13], [14] * 4, [9] * 4, [11] * 4)
    plan = schedule_funding(trades, None, _funding([START, START + 2 * HOUR], [1, 2]))
    part = plan.slice(1, 4)
    assert (part.bar.tolist(), part.rate.tolist(), part.price.tolist()) == ([1], [2.0], [12.0])


@needs_shared
def test_sol_in_november_2022() -> None:
    """The data's notes: -32.7 % from 8 to 19 November, intervals of 8, 2, 4 and 8 hours."""
    funding = read_funding(real("binanceusdm_SOLUSDT_funding_20200913_20260630.parquet"))
    trades = read_candles(real("binanceusdm_SOLUSDT_perp_15m_20221001_20230102.parquet"))
    mark = read_candles(real("binanceusdm_SOLUSDT_mark_8h_20221001_20230107.parquet"), kind="mark")
    plan = schedule_funding(trades, mark, funding)
    first, end = 1_667_865_600_000, 1_668_902_400_000  # 2022-11-08 and 2022-11-20, UTC
    inside = (plan.ts >= first) & (plan.ts < end)
    assert plan.rate[inside].sum() == pytest.approx(-0.327, abs=0.0005)
    assert (plan.rate[inside] == -0.02).sum() == 7
    assert (trades.ts[plan.bar] == plan.ts).all()
    assert set(funding.intervals_h()) == {8.0, 4.0, 2.0}
    assert not plan.fallback.any()


@needs_shared
def test_eth_crashes_where_mark_and_last_part() -> None:
    trades = read_candles(real("binanceusdm_ETHUSDT_perp_1h_20200101_20221231.parquet"))
    mark = read_candles(real("binanceusdm_ETHUSDT_mark_8h_20200101_20230107.parquet"), kind="mark")
    series = align_mark(trades, mark)
    day = (trades.ts >= 1_621_382_400_000) & (trades.ts < 1_621_468_800_000)  # 2021-05-19
    assert trades.low[day].min() == 1400.73
    assert series.low[day].min() == pytest.approx(1764.26, abs=0.005)
    window = (trades.ts >= 1_584_057_600_000) & (trades.ts < 1_584_086_400_000)  # 2020-03-13 00-08
    assert trades.high[window].max() == 323.00
    assert series.high[window].max() == pytest.approx(137.71, abs=0.005)
    assert series.open[window][0] == mark.open[mark.ts == 1_584_057_600_000][0]
    assert series.close[window][-1] == mark.close[mark.ts == 1_584_057_600_000][0]


@needs_shared
@pytest.mark.parametrize(
    ("trade", "mark"),
    [
        ("BTCUSDT_perp_5m_20241231_20260219", "BTCUSDT_mark_1h_20241231_20260219"),
        ("DOGEUSDT_perp_1h_20241231_20260219", "DOGEUSDT_mark_1h_20241231_20260219"),
        ("GASUSDT_perp_1h_20231025_20241130", "GASUSDT_markoc_1h_20231025_20241130"),
        ("HYPEUSDT_perp_1h_20250530_20260219", "HYPEUSDT_mark_1h_20250530_20260219"),
    ],
)
def test_real_marks_are_taken_and_trades_are_not(trade: str, mark: str) -> None:
    trades = read_candles(real(f"binanceusdm_{trade}.parquet"))
    series = align_mark(trades, read_candles(real(f"binanceusdm_{mark}.parquet"), kind="mark"))
    assert series.fallback.sum() <= 12
    with pytest.raises(DataError, match="no volume"):
        read_candles(real(f"binanceusdm_{trade}.parquet"), kind="mark")
    with pytest.raises(DataError, match="trade candles, not mark prices"):
        align_mark(trades, trades)
