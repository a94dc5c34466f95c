"""The bulk feed in Backtrader: the same bars as Backtrader's own feed, whatever Cerebro does."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from leverpack.candles.feed import CandleFeed
from leverpack.candles.reader import read_candles
from leverpack.candles.sample import make_year
from leverpack.errors import DataError, SettingError
from tests.candles.helpers import candles, rows, write

LINES = ("datetime", "open", "high", "low", "close", "volume", "openinterest")


class Recorder(bt.Strategy):  # type: ignore[misc]
    """Keeps what every feed showed at every step."""

    params = (("period", 5),)

    def __init__(self) -> None:
        self.seen: list[tuple[float, ...]] = []
        self.average = bt.ind.SMA(self.data.close, period=self.p.period)

    def next(self) -> None:
        step: list[float] = [self.average[0]]
        for data in self.datas:
            step.append(len(data))
            if len(data):
                step += [getattr(data, name)[0] for name in LINES]
        self.seen.append(tuple(step))


def run(build: Any, **kwargs: Any) -> list[tuple[float, ...]]:
    """The steps that a strategy sees on the feeds that ``build`` adds."""
    cerebro = bt.Cerebro(stdstats=False, **kwargs)
    build(cerebro)
    cerebro.addstrategy(Recorder)
    seen: list[tuple[float, ...]] = cerebro.run()[0].seen
    return seen


def stamped(path: Path, count: int, start: int = 0, step: str = "h") -> Path:
    """A CSV in the shape that GenericCSVData reads without being told."""
    rng = np.random.default_rng(7)
    close = np.round(100 * np.exp(rng.normal(0, 0.01, count + start).cumsum()), 2)[start:]
    when = pd.date_range("2025-01-01", periods=count + start, freq=step)[start:]
    opens = np.round(close * (1 + rng.normal(0, 0.002, count)), 2)
    frame = pd.DataFrame({
        "datetime": when.strftime("%Y-%m-%d %H:%M:%S"),
        "open": opens,
        "high": np.maximum(opens, close) + 0.5,
        "low": np.minimum(opens, close) - 0.5,
        "close": close,
        "volume": rng.integers(1, 1000, count) / 8,
    })
    frame.to_csv(path, index=False)
    return path


def stock(path: Path, **kwargs: Any) -> Any:
    """Backtrader's own feed on the same file."""
    return bt.feeds.GenericCSVData(
        dataname=str(path), openinterest=-1,
        **{"timeframe": bt.TimeFrame.Minutes, "compression": 60, **kwargs},
    )  # fmt: skip


def same(ours: Any, theirs: Any) -> None:
    """Equal to the last bit; NaN equals NaN."""
    if isinstance(ours, dict):
        ours, theirs = list(ours.values()), list(theirs.values())
    np.testing.assert_array_equal(np.array(ours), np.array(theirs))


def buffers(feed: Any, **kwargs: Any) -> dict[str, list[float]]:
    """The line buffers as a run leaves them."""
    cerebro = bt.Cerebro(stdstats=False, **kwargs)
    cerebro.adddata(feed)
    cerebro.addstrategy(bt.Strategy)
    cerebro.run()
    return {name: list(getattr(feed.lines, name).array) for name in LINES}


def test_all_lines_equal_backtraders_own_feed(tmp_path: Path) -> None:
    path = stamped(tmp_path / "x.csv", 500)
    same(buffers(CandleFeed(dataname=path)), buffers(stock(path)))


def test_daily_candles_carry_the_sessions_end_as_backtraders_do(tmp_path: Path) -> None:
    path = stamped(tmp_path / "x.csv", 600, step="D")
    daily = {"timeframe": bt.TimeFrame.Days, "compression": 1}
    same(buffers(CandleFeed(dataname=path)), buffers(stock(path, **daily)))


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (datetime(2025, 1, 3), datetime(2025, 1, 5)),
        (datetime(2025, 1, 3, 0, 30), datetime(2025, 1, 5, 7, 0)),
        (date(2025, 1, 3), date(2025, 1, 5)),
        (None, datetime(2025, 1, 2, 3)),
        (datetime(2025, 1, 19), None),
        (datetime(2020, 1, 1), datetime(2030, 1, 1)),
    ],
)
@pytest.mark.parametrize("step", ["h", "D"])
def test_dates_cut_as_backtraders_do(tmp_path: Path, first: Any, last: Any, step: str) -> None:
    path = stamped(tmp_path / "x.csv", 500, step=step)
    frame = {"timeframe": bt.TimeFrame.Days, "compression": 1} if step == "D" else {}
    dates = {k: v for k, v in (("fromdate", first), ("todate", last)) if v is not None}
    feed = CandleFeed(dataname=path, **dates)
    ours, theirs = buffers(feed), buffers(stock(path, **frame, **dates))
    same(ours, theirs)
    assert len(feed.candles) == len(ours["close"])
    assert feed.candles.close.tolist() == ours["close"]


def test_dates_outside_the_file_are_said(tmp_path: Path) -> None:
    path = stamped(tmp_path / "x.csv", 50)
    with pytest.raises(DataError, match="no candle lies between"):
        CandleFeed(dataname=path, fromdate=datetime(2026, 1, 1))


MODES: list[dict[str, Any]] = [
    {}, {"runonce": False}, {"preload": False}, {"exactbars": 1}, {"exactbars": -1},
    {"exactbars": -2}, {"lookahead": 3}, {"oldsync": True},
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("shape", ["alone", "pair", "resampled", "both", "replayed"])
def test_every_way_to_run_shows_the_same_steps(
    tmp_path: Path, mode: dict[str, Any], shape: str
) -> None:
    path = stamped(tmp_path / "a.csv", 200)
    later = stamped(tmp_path / "b.csv", 90, start=37)
    four = {"timeframe": bt.TimeFrame.Minutes, "compression": 240}

    def build(make: Any) -> Any:
        def add(cerebro: Any) -> None:
            feed = make(path)
            if shape in ("alone", "pair", "both"):
                cerebro.adddata(feed)
            if shape == "pair":
                cerebro.adddata(make(later))
            if shape in ("resampled", "both"):
                cerebro.resampledata(feed, **four)
            if shape == "replayed":
                cerebro.replaydata(feed, **four)

        return add

    if shape == "pair" and mode == {"exactbars": 1}:
        with pytest.raises(IndexError):  # Backtrader's own feed cannot start late there either
            run(build(stock), **mode)
        return
    ours = run(build(lambda p: CandleFeed(dataname=p)), **mode)
    theirs = run(build(stock), **mode)
    assert len(ours) > 20
    same(ours, theirs)


class Tokyo(tzinfo):
    """Nine hours ahead, in the form that Backtrader takes without further packages."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=9)

    def dst(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, when: datetime | None) -> str:
        return "Tokyo"


@pytest.mark.parametrize("zone", ["tz", "tzinput"])
def test_zones_move_bars_and_dates_as_backtraders_do(tmp_path: Path, zone: str) -> None:
    path = stamped(tmp_path / "x.csv", 200)
    dates = {"fromdate": datetime(2025, 1, 3), "todate": datetime(2025, 1, 6)}
    ours = CandleFeed(dataname=path, **dates, **{zone: Tokyo()})
    same(buffers(ours), buffers(stock(path, **dates, **{zone: Tokyo()})))
    if zone == "tz":
        assert len(ours.candles) == len(ours)


def test_filters_and_zones_see_each_bar(tmp_path: Path) -> None:
    path = stamped(tmp_path / "x.csv", 200)

    def morning(data: Any) -> bool:
        drop: bool = data.datetime.time(0).hour >= 12
        return drop

    def add(make: Any, **kwargs: Any) -> Any:
        def build(cerebro: Any) -> None:
            feed = make(path, **kwargs)
            feed.addfilter_simple(morning)
            cerebro.adddata(feed)

        return build

    ours = run(add(lambda p, **k: CandleFeed(dataname=p, **k)))
    same(ours, run(add(stock)))
    assert len(ours) == 104 - 4
    zone = {"tzinput": Tokyo(), "fromdate": datetime(2025, 1, 3)}
    same(run(add(lambda p, **k: CandleFeed(dataname=p, **k), **zone)), run(add(stock, **zone)))


def test_two_runs_on_one_feed(tmp_path: Path) -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(CandleFeed(dataname=stamped(tmp_path / "x.csv", 80)))
    cerebro.addstrategy(Recorder)
    first = cerebro.run()[0].seen
    same(first, cerebro.run()[0].seen)
    assert len(first) == 76


def test_several_parameter_sets_share_the_feed(tmp_path: Path) -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(CandleFeed(dataname=stamped(tmp_path / "x.csv", 80)))
    cerebro.optstrategy(Recorder, period=[3, 5, 9])
    assert len(cerebro.run(maxcpus=1)) == 3


def test_paths_frames_and_candles_give_one_feed(tmp_path: Path) -> None:
    path = stamped(tmp_path / "x.csv", 60)
    expected = buffers(CandleFeed(dataname=str(path)))
    same(buffers(CandleFeed(dataname=path)), expected)
    same(buffers(CandleFeed(dataname=read_candles(path))), expected)
    frame = pd.read_csv(path, parse_dates=["datetime"]).set_index("datetime")
    same(buffers(CandleFeed(dataname=frame)), expected)


def test_timeframe_and_names(tmp_path: Path) -> None:
    path = write(tmp_path / "ETHUSDT-1h.csv", rows(10))
    feed = CandleFeed(dataname=path)
    assert (feed._timeframe, feed._compression) == (bt.TimeFrame.Minutes, 60)
    assert feed.symbol == "ETHUSDT"
    given = CandleFeed(dataname=str(path), name="eth", symbol="ETH/USDT:USDT")
    assert (given._name, given.symbol, given.candles.symbol) == ("eth",) + ("ETH/USDT:USDT",) * 2
    assert CandleFeed(dataname=str(path))._name == str(path)  # as Backtrader names its own


def test_companions_are_cut_with_the_candles() -> None:
    made = make_year()
    feed = CandleFeed(
        dataname=made.candles, mark=made.mark, funding=made.funding,
        fromdate=datetime(2025, 8, 18, 4), todate=datetime(2025, 8, 19, 3),
    )  # fmt: skip
    assert feed.mark is not None
    assert feed.funding is not None
    assert len(feed.candles) == len(feed.mark.low) == 24
    whole = CandleFeed(dataname=made.candles, mark=made.mark, funding=made.funding)
    assert whole.mark is not None
    at = int(np.searchsorted(whole.candles.ts, feed.candles.ts[0]))
    assert feed.mark.low.tolist() == whole.mark.low[at : at + 24].tolist()
    assert feed.funding.bar.tolist() == [4, 12, 20]
    assert (feed.candles.ts[feed.funding.bar] == feed.funding.ts).all()
    assert feed.funding.price.tolist() == feed.mark.open[feed.funding.bar].tolist()
    plain = CandleFeed(dataname=made.candles)
    assert plain.mark is None
    assert plain.funding is None


def test_the_feed_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="dataname"):
        CandleFeed()
    with pytest.raises(SettingError, match="no setting fundng; did you mean funding"):
        CandleFeed(dataname=make_year().candles, fundng=1)
    made = make_year()
    with pytest.raises(SettingError, match="tzinput"):
        CandleFeed(dataname=made.candles, mark=made.mark, tzinput="Asia/Tokyo")
    with pytest.raises(DataError, match="trade candles, not mark prices"):
        CandleFeed(dataname=made.candles, mark=made.candles)
    short = candles([1], [2], [0.5], [1.5])
    assert len(CandleFeed(dataname=short).candles) == 1
