"""Candle lengths, their names, and Backtrader's date numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.candles.timeframes import (
    bars_per_year,
    bt_numbers,
    bt_timeframe,
    infer_timeframe,
    timeframe_ms,
    timeframe_name,
)
from leverpack.errors import SettingError
from tests.candles.helpers import HOUR, START


@pytest.mark.parametrize(
    "name", ["1s", "30s", "1m", "5m", "15m", "1h", "4h", "8h", "1d", "1w", "1M"]
)
def test_names_go_both_ways(name: str) -> None:
    assert timeframe_name(timeframe_ms(name)) == name


@pytest.mark.parametrize("name", ["", "h", "0h", "1.5h", "1y", "-1h"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match="timeframe"):
        timeframe_ms(name)


def test_bars_per_year_counts_365_days() -> None:
    assert bars_per_year(timeframe_ms("15m")) == 365 * 96
    assert bars_per_year(timeframe_ms("1h")) == 8760


def test_backtraders_timeframes() -> None:
    assert bt_timeframe(timeframe_ms("5m")) == (bt.TimeFrame.Minutes, 5)
    assert bt_timeframe(timeframe_ms("4h")) == (bt.TimeFrame.Minutes, 240)
    assert bt_timeframe(timeframe_ms("1d")) == (bt.TimeFrame.Days, 1)
    assert bt_timeframe(timeframe_ms("30s")) == (bt.TimeFrame.Seconds, 30)


def test_left_out_candles_do_not_hide_the_length() -> None:
    """Most hours are missing, the commonest step is two hours, and still they are hourly."""
    steps = np.array([2, 2, 3, 2, 1, 2, 4, 2, 1, 2]) * HOUR
    ts = START + np.concatenate(([0], np.cumsum(steps)))
    assert infer_timeframe(ts) == HOUR


def _number(ms: int) -> float:
    when = datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
    return float(bt.date2num(when))


def test_numbers_equal_backtraders_on_minutes_over_many_years() -> None:
    first = int(datetime(2009, 1, 1, tzinfo=UTC).timestamp()) * 1000
    ts = first + 60_000 * np.arange(0, 25 * 365 * 1440, 37, dtype=np.int64)
    assert bt_numbers(ts).tolist() == [_number(t) for t in ts.tolist()]


@given(st.integers(min_value=10**12, max_value=4 * 10**12))
def test_numbers_equal_backtraders_on_any_millisecond(ms: int) -> None:
    when = datetime(1970, 1, 1) + np.timedelta64(ms, "ms").astype(object)
    assert bt_numbers(np.array([ms]))[0] == bt.date2num(when)
