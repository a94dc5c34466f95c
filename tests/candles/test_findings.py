"""Every finding: made data that trips it, the same just under, and what real files say."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leverpack.candles.align import align_mark
from leverpack.candles.brief import brief
from leverpack.candles.check import check_file, halts_of, look_at, look_at_all, refuse_warnings
from leverpack.candles.feed import CandleFeed
from leverpack.candles.look import find_gaps, series_findings
from leverpack.candles.quality import end_findings
from leverpack.candles.reader import load_candles, read_candles, read_funding
from leverpack.candles.series import Candles, Finding, Funding, iso
from leverpack.candles.settlements import rate_findings
from leverpack.candles.spikes import judge_by_mark
from leverpack.candles.stillness import common_halts
from leverpack.errors import DataError, SettingError
from tests.candles.helpers import HOUR, START, rows, write
from tests.conftest import needs_shared, real, shared_dir

MINUTE = HOUR // 60
DAY = 24 * HOUR


def calm(count: int = 240, step: int = HOUR, price: float = 100.0, seed: int = 1) -> Candles:
    """An ordinary market: candles of about 1 % range, volume of 50 to 150."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, 0.001, count)))
    opens = np.concatenate(([price], close[:-1]))
    high, low = np.maximum(opens, close) * 1.005, np.minimum(opens, close) * 0.995
    ts = START + step * np.arange(count, dtype=np.int64)
    volume = rng.uniform(50.0, 150.0, count)
    return Candles(ts, opens, high, low, close, volume, step, "AAAUSDT", "trade", "made")


def without(c: Candles, start: int, stop: int) -> Candles:
    """The candles with some of them missing."""
    keep = np.r_[0:start, stop : len(c)]
    columns = {n: getattr(c, n)[keep] for n in ("ts", "open", "high", "low", "close", "volume")}
    cut = replace(c, **columns)
    return replace(cut, gaps=find_gaps(cut.ts, cut.timeframe_ms))


def still(c: Candles, start: int, stop: int, *, volume: float = 0.0) -> Candles:
    """The candles with one price from start to stop; the market goes on from there."""
    c = replace(c, **{n: getattr(c, n).copy() for n in ("open", "high", "low", "close", "volume")})
    price = c.close[start - 1]
    for values in (c.open, c.high, c.low, c.close):
        values[start:stop] = price
    c.volume[start:stop] = volume
    return c


def wick(c: Candles, row: int, share: float, volume: float | None = None) -> Candles:
    """The candles with a low ``share`` under both neighbours (negative: a high above them)."""
    c = replace(c, high=c.high.copy(), low=c.low.copy(), volume=c.volume.copy())
    if share > 0:
        c.low[row] = min(c.low[row - 1], c.low[row + 1]) * (1.0 - share)
    else:
        c.high[row] = max(c.high[row - 1], c.high[row + 1]) * (1.0 - share)
    if volume is not None:
        c.volume[row] = volume
    return c


def found(c: Candles, code: str) -> Finding | None:
    return next((f for f in series_findings(c) if f.code == code), None)


def one(c: Candles, code: str) -> Finding:
    finding = found(c, code)
    assert finding is not None, [f.code for f in series_findings(c)]
    return finding


def test_an_ordinary_market_has_no_findings() -> None:
    assert series_findings(calm()) == []
    assert series_findings(calm(240, DAY)) == []
    assert series_findings(replace(calm(), kind="mark", volume=np.zeros(240))) == []
    assert series_findings(calm(1)) == []


# --- times ------------------------------------------------------------------------------------


def test_gaps_tell_the_longest_with_its_times() -> None:
    c = without(without(calm(), 100, 103), 50, 51)
    said = one(c, "gaps")
    assert (said.severity, said.count) == ("warning", 2)
    assert "4 1h candles are missing in 2 gaps, the longest of 3 from" in said.message
    hour = [iso(START + i * HOUR) for i in (100, 103)]
    assert f"from {hour[0]} to {hour[1]}" in said.message
    alone = one(without(calm(), 50, 51), "gaps")
    assert alone.message == f"1 1h candle is missing at {iso(START + 50 * HOUR)}"


def test_a_maker_that_leaves_out_idle_candles() -> None:
    c = calm(400)
    for row in range(380, 0, -19):
        c = without(c, row, row + 1)
    assert "leave out candles without trades" in one(c, "gaps").message
    fewer = calm(400)
    for row in range(380, 30, -19):
        fewer = without(fewer, row, row + 1)
    assert "leave out" not in one(fewer, "gaps").message


def test_off_the_grid_after_an_outage() -> None:
    c = without(calm(), 100, 110)
    ts = c.ts.copy()
    ts[100:] += 28 * MINUTE + 14_789
    said = one(replace(c, ts=ts), "off_grid")
    assert said.count == 130
    assert "00:28:14.789" not in said.message.split("first")[0]
    assert "28:14.789+00:00, after a gap" in said.message
    assert found(c, "off_grid") is None


def test_candles_of_the_future_are_an_error() -> None:
    c = calm(48)
    last = int(c.ts[-1])
    (said,) = end_findings(c, now=last - 5 * HOUR)
    assert (said.severity, said.code, said.count) == ("error", "future", 5)
    assert "local ones, not UTC" in said.message
    (said,) = end_findings(c, now=last - 15 * HOUR)
    assert "the times are wrong" in said.message
    assert [f.code for f in end_findings(c, now=last - 59_000)] == ["unfinished"]  # clocks differ


def test_a_file_of_the_future_is_refused(tmp_path: Path) -> None:
    ahead = round(time.time() * 1000) // HOUR * HOUR + 2 * HOUR
    path = write(tmp_path / "a.csv", rows(30, start=ahead - 29 * HOUR))
    for on_fault in ("error", "drop"):
        with pytest.raises(DataError, match=r"a\.csv.*to come.*not UTC"):
            read_candles(path, on_fault=on_fault)  # type: ignore[arg-type]
    now = write(tmp_path / "b.csv", rows(30, start=ahead - 32 * HOUR))
    assert read_candles(now).findings == []


def test_the_last_candle_may_be_unfinished(tmp_path: Path) -> None:
    c = calm(48)
    last = int(c.ts[-1])
    assert [f.code for f in end_findings(c, now=last + HOUR - 1)] == ["unfinished"]
    assert end_findings(c, now=last + HOUR) == []
    path = write(tmp_path / "a.csv", rows(30))
    end = START + 30 * HOUR
    for written, codes in ((end - 1_000, {"unfinished"}), (end, set()), (START, set())):
        os.utime(path, (written / 1000, written / 1000))
        assert {f.code for f in read_candles(path).findings} == codes


# --- prices -----------------------------------------------------------------------------------


def test_a_flat_file_and_a_flat_stretch() -> None:
    c = calm()
    flat = still(replace(c, close=np.full(240, 100.0)), 1, 240, volume=3.0)
    flat = replace(flat, high=np.full(240, 100.0), low=np.full(240, 100.0), open=flat.close)
    assert [f.code for f in series_findings(flat)] == ["flat"]
    said = one(still(c, 100, 106, volume=5.0), "flat_stretch")
    assert said.severity == "warning"
    assert f"from {iso(START + 100 * HOUR)} to {iso(START + 106 * HOUR)} (6 hours)" in said.message
    assert series_findings(still(c, 100, 105, volume=5.0)) == []
    assert found(still(calm(240, 15 * MINUTE), 100, 120, volume=5.0), "flat_stretch") is None
    marks = replace(still(c, 100, 106), kind="mark", volume=np.zeros(240))
    assert [f.code for f in series_findings(marks)] == ["flat_stretch"]


def test_a_halt_is_a_short_silence_in_a_lively_market() -> None:
    c = calm(2_000, 5 * MINUTE)
    said = one(still(c, 1_000, 1_002), "halt")
    assert (said.severity, said.count) == ("info", 1)
    start = START + 1_000 * 5 * MINUTE
    assert f"from {iso(start)} to {iso(start + 10 * MINUTE)} (10m)" in said.message
    assert found(still(c, 1_000, 1_001), "halt") is None
    assert found(still(c, 1_000, 1_002, volume=1.0), "halt") is None
    hours = calm(2_000)
    assert one(still(hours, 1_000, 1_003), "halt").severity == "info"
    assert one(still(hours, 1_000, 1_004), "halt").severity == "warning"
    two = one(still(still(hours, 1_000, 1_003), 500, 502), "halt")
    assert two.count == 2
    assert "the longest of 2" in two.message


def test_where_silence_is_usual_it_is_no_halt() -> None:
    c = calm(1_000)
    some = replace(c, volume=np.where(np.arange(1_000) % 11 == 0, 0.0, c.volume))
    said = one(some, "zero_volume")
    assert (said.severity, said.count) == ("info", 91)
    often = replace(c, volume=np.where(np.arange(1_000) % 10 == 0, 0.0, c.volume))
    said = one(often, "zero_volume")
    assert said.severity == "warning"
    assert said.message.startswith("100 of 1,000 candles are without volume")
    assert found(still(some, 500, 504), "halt") is None


def test_halts_common_to_all_symbols(tmp_path: Path) -> None:
    def saved(name: str, c: Candles) -> Path:
        lines = [
            ",".join(map(repr, map(float, row))).replace(".0,", ",", 1)
            for row in zip(c.ts, c.open, c.high, c.low, c.close, c.volume, strict=True)
        ]
        return write(tmp_path / name, lines)

    a = saved("AAAUSDT.csv", still(calm(400, 5 * MINUTE, seed=1), 100, 104))
    b = saved("BBBUSDT.csv", without(calm(400, 5 * MINUTE, seed=2), 101, 105))
    c = saved("CCCUSDT.csv", still(calm(400, 5 * MINUTE, seed=3), 300, 304))
    at = [START + i * 5 * MINUTE for i in (101, 104)]
    assert halts_of(look_at_all([a, b])) == [(at[0], at[1])]
    assert halts_of(look_at_all([a, b, c])) == []
    assert halts_of(look_at_all([a, a])) == []  # one symbol proves nothing
    twice = ((0, 50), [(10, 20)])
    assert common_halts([twice, twice, ((60, 90), [])]) == [(10, 20)]


def test_a_jump_between_candles() -> None:
    def step(factor: float, gap: int = 0) -> Candles:
        c = calm()
        moved = {n: getattr(c, n).copy() for n in ("open", "high", "low", "close")}
        for values in moved.values():
            values[120:] *= factor
        c = replace(c, **moved)
        return without(c, 120, 120 + gap) if gap else c

    assert found(step(2.9), "jump") is None
    assert one(step(3.1), "jump").severity == "warning"
    assert one(step(1 / 3.1), "jump").count == 1
    assert found(step(9.8), "coin_changed") is None
    said = one(step(10.3), "coin_changed")
    assert "another coin under the same name" in said.message
    assert said.treatment == f"kept; end the run before it (--to {iso(START + 119 * HOUR)[:10]})"
    assert "after a gap of 3.0 days" in one(step(1 / 11, gap=72), "coin_changed").message
    # A crash moves inside candles, and is none of this.
    c = calm()
    crash = replace(c, low=c.low.copy(), close=c.close.copy(), open=c.open.copy())
    crash.low[120:] *= 0.05
    crash.close[120:] *= 0.05
    crash.open[121:] *= 0.05
    assert found(crash, "jump") is found(crash, "coin_changed") is None


def test_a_spike_is_deep_unlike_its_surroundings_and_gone_at_once() -> None:
    c = calm()
    said = one(wick(c, 120, 0.12), "spike")
    assert said.severity == "warning"
    assert "12.0% below both neighbours, without the volume of a real move" in said.message
    assert found(wick(c, 120, 0.09), "spike") is None
    assert "12.0% above both" in one(wick(c, 120, -0.12), "spike").message
    wild = replace(c, high=c.high * 1.01, low=c.low * 0.99)  # ranges of 3 %
    assert found(wick(wild, 120, 0.2), "spike") is None
    assert one(wick(wild, 120, 0.4), "spike").count == 1
    stays = wick(c, 120, 0.12)
    stays.low[121] = stays.low[120]
    assert found(stays, "spike") is None
    twice = one(wick(wick(c, 120, 0.12), 200, 0.3), "spike")
    assert twice.count == 2
    assert "30.0% below" in twice.message


def test_heavy_volume_speaks_for_a_real_move() -> None:
    c = calm()
    assert one(wick(c, 120, 0.2, volume=250.0), "spike").severity == "warning"
    said = one(wick(c, 120, 0.2, volume=350.0), "spike")
    assert said.severity == "info"
    assert "heavy volume" in said.message
    both = one(wick(wick(c, 120, 0.2, volume=350.0), 200, 0.15), "spike")
    assert (both.severity, both.count) == ("warning", 1)
    assert "15.0% below" in both.message
    silent = replace(wick(c, 120, 0.2), volume=np.zeros(240))
    assert "no volume to judge it by" in one(silent, "spike").message


def mark_of(c: Candles) -> Candles:
    """Mark candles close to the trades, of another range."""
    return replace(
        c, kind="mark", volume=np.zeros(len(c)), open=c.open * 1.0001, close=c.close * 1.0001,
        high=c.high * 0.999, low=c.low * 1.001, findings=[],
    )  # fmt: skip


def judged(c: Candles, mark: Candles) -> list[Finding]:
    c.findings = series_findings(c)
    return judge_by_mark(c, mark, align_mark(c, mark))


def test_the_mark_confirms_or_contradicts() -> None:
    c = calm()
    spiked = wick(c, 120, 0.3)
    (said,) = judged(spiked, mark_of(spiked))
    assert (said.severity, said.code) == ("info", "spike")
    assert "the mark goes along" in said.message
    (said,) = judged(spiked, mark_of(c))
    assert (said.severity, said.code, said.count) == ("warning", "mark_contradicts", 1)
    assert f"last falls to {spiked.low[120]:g} at {iso(START + 120 * HOUR)}" in said.message
    assert "liquidation is tested on the mark" in said.treatment
    high = wick(c, 120, -0.3)
    (said,) = judged(high, mark_of(c))
    assert "last rises to" in said.message
    half, less = mark_of(wick(c, 120, 0.175)), mark_of(wick(c, 120, 0.15))
    assert [f.code for f in judged(wick(c, 120, 0.3), less)] == ["mark_contradicts"]
    assert {f.code for f in judged(wick(c, 120, 0.2), half)} == {"spike"}


def test_last_far_from_the_mark_without_a_spike_is_said_too() -> None:
    c = calm()
    low = replace(c, low=c.low.copy())
    low.low[120:123] *= 0.88
    (said,) = judged(low, mark_of(c))
    assert (said.code, said.count) == ("mark_contradicts", 3)
    low.low[120:123] /= 0.88 / 0.93
    assert judged(low, mark_of(c)) == []


def test_marks_that_cannot_judge() -> None:
    spiked = wick(calm(), 120, 0.3)
    mark = mark_of(calm())
    mark.findings = [Finding("warning", "no_low", "no low column")]
    assert [f.code for f in judged(spiked, mark)] == ["spike"]
    assert [f.code for f in judged(spiked, mark_of(calm()).slice(0, 100))] == ["spike"]
    assert judged(wick(calm(), 50, 0.0), mark_of(calm()).slice(0, 100)) == []


# --- volume -----------------------------------------------------------------------------------


def test_volume_that_cannot_be_in_base_units() -> None:
    whole = replace(calm(price=60_000.0), volume=np.floor(calm().volume))
    said = one(whole, "volume_unit")
    assert "whole numbers only" in said.message
    assert "contracts" in said.message
    assert found(replace(calm(price=900.0), volume=np.floor(calm().volume)), "volume_unit") is None
    broken = replace(whole, volume=np.concatenate((whole.volume[:-1], [0.5])))
    assert found(broken, "volume_unit") is None
    quote = calm(price=60_000.0)
    assert found(replace(quote, volume=quote.volume * 6_000), "volume_unit") is None  # 8e11 a day
    said = one(replace(quote, volume=quote.volume * 8_000), "volume_unit")
    assert "quote currency or contracts" in said.message


# --- funding ----------------------------------------------------------------------------------


def funding(hours: list[float], rates: Any = 0.0001) -> Funding:
    ts = START + np.cumsum([0, *hours]).astype(np.int64) * HOUR
    return Funding(ts, np.broadcast_to(np.asarray(rates, float), len(ts)).copy(), "made")


def test_a_funding_interval_that_changes() -> None:
    (said,) = rate_findings(funding([8] * 10 + [4] * 3 + [2] * 9 + [8] * 5))
    assert (said.severity, said.code, said.count) == ("info", "interval_change", 3)
    at = iso(START + 80 * HOUR)
    assert f"changes from 8 h to 4 h at {at}; from 4 h to 2 h at" in said.message
    assert rate_findings(funding([8] * 10)) == []
    many = funding([8, 8, 4, 4] * 5)
    assert "; and 3 more" in rate_findings(many)[0].message


def test_a_hole_between_settlements() -> None:
    (said,) = rate_findings(funding([8] * 5 + [16] + [8] * 5))
    assert (said.severity, said.code, said.count) == ("warning", "gaps", 1)
    assert "no settlement for 16 h from" in said.message
    (said,) = rate_findings(funding([8] * 5 + [32] + [8] * 5))
    assert "no settlement for 32 h" in said.message
    assert [f.code for f in rate_findings(funding([48]))] == ["gaps"]
    assert rate_findings(funding([24] * 9)) == []
    both = rate_findings(funding([8] * 5 + [16] + [8] * 5 + [4] * 5))
    assert [f.code for f in both] == ["gaps", "interval_change"]


def test_rates_that_are_hard_to_believe() -> None:
    rates = np.full(31, 0.0001)
    rates[7] = -0.041
    (said,) = rate_findings(funding([8] * 30, rates))
    assert (said.code, said.count) == ("large_rate", 1)
    assert "the rate -0.041" in said.message
    rates[7] = 0.04
    assert rate_findings(funding([8] * 30, rates)) == []
    assert [f.code for f in rate_findings(funding([8] * 30, 0.01))] == ["rates_in_percent"]
    assert rate_findings(funding([8] * 30, 0.0019)) == []
    assert rate_findings(funding([8] * 18, 0.01)) == []  # too few to tell


# --- files ------------------------------------------------------------------------------------


def test_strict_names_the_first_warning(tmp_path: Path) -> None:
    lines = rows(30)
    gap = write(tmp_path / "AAAUSDT.csv", lines[:10] + lines[12:])
    assert check_file(gap)["ok"] is True
    assert check_file(gap, strict=True)["ok"] is False
    with pytest.raises(DataError, match=r"AAAUSDT\.csv: 2 1h candles are missing from .*--strict"):
        refuse_warnings(look_at(gap).findings)
    good = write(tmp_path / "BBBUSDT.csv", lines[::-1])  # an info: descending
    assert check_file(good, strict=True)["ok"] is True
    refuse_warnings(look_at(good).findings)
    volume = lines.copy()
    volume[3] = volume[3].rsplit(",", 1)[0] + ",-1"
    both = write(tmp_path / "CCCUSDT.csv", volume[:10] + volume[12:])
    with pytest.raises(DataError, match=r"CCCUSDT\.csv:5: volume .* \(and 1 more\)"):
        refuse_warnings(look_at(both).findings)


def test_check_with_a_mark(tmp_path: Path) -> None:
    lines = rows(300)
    spiked = lines.copy()
    fields = spiked[150].split(",")
    spiked[150] = ",".join((*fields[:3], "150", *fields[4:]))
    path = write(tmp_path / "AAAUSDT.csv", spiked)
    assert {f["code"] for f in check_file(path)["findings"]} == {"spike"}
    marks = [
        ",".join([*line.split(",")[:2], *(f"{float(v) - 0.1}" for v in line.split(",")[2:5])])
        for line in lines
    ]
    mark = write(tmp_path / "AAAUSDT_mark.csv", marks, "time,open,high,low,close")
    told = check_file(path, mark=mark)
    assert {f["code"] for f in told["findings"]} == {"mark_contradicts"}
    assert told["mark"]["kind"] == "mark"
    short = write(tmp_path / "AAAUSDT_mark_b.csv", marks[:200], "time,open,high,low,close")
    told = check_file(path, mark=short)
    assert {f["code"] for f in told["mark"]["findings"]} == {"no_mark"}
    assert told["ok"] is True
    assert check_file(path, mark=short, strict=True)["ok"] is False
    trades = write(tmp_path / "x.csv", [r.rsplit(",", 1)[0] for r in spiked],
                   "time,open,high,low,close")  # fmt: skip
    with pytest.raises(DataError, match="these are trade candles, not mark prices"):
        check_file(path, mark=trades)
    with pytest.raises(SettingError, match="holds mark candles"):
        check_file(mark, mark=mark)


def test_the_feed_hands_on_what_every_file_showed(tmp_path: Path) -> None:
    lines = rows(300)
    path = write(tmp_path / "AAAUSDT.csv", lines[:100] + lines[103:])
    marks = [",".join(r.split(",")[:2]) + f",{103 + i},{98 + i},{100.5 + i}"
             for i, r in enumerate(lines)]  # fmt: skip
    mark = write(tmp_path / "m.csv", marks[:50] + marks[52:], "time,open,high,low,close")
    hours = [8] * 10 + [16] + [8] * 20
    stamps = START + np.cumsum([0, *hours]) * HOUR
    rates = write(tmp_path / "f.csv", [f"{t},0.0001" for t in stamps], "time,rate")
    feed = CandleFeed(dataname=path, mark=mark, funding=rates)
    assert [f.code for f in feed.candles.findings] == ["gaps"]
    assert feed.mark is not None
    assert feed.funding is not None
    assert [f.code for f in feed.mark.findings] == ["gaps", "no_mark"]
    assert "gaps" in {f.code for f in feed.funding.findings}
    assert list(feed.loaded) == ["data", "mark", "funding"]
    assert feed.loaded["mark"]["missing_bars"] == 2


def test_absurd_prices_make_no_trouble() -> None:
    for price in (1e308, 5e-324):
        c = calm(60)
        wild = {n: getattr(c, n).copy() for n in ("open", "high", "low", "close", "volume")}
        for values in wild.values():
            values[20:40] = price
        c = replace(c, **wild)
        assert {f.code for f in series_findings(c)} >= {"coin_changed"}
        c.findings = series_findings(c)
        judge_by_mark(c, mark_of(calm(60)), align_mark(c, mark_of(calm(60))))
        assert len(brief(c)) >= 5


def test_a_million_candles_in_a_few_milliseconds() -> None:
    c = calm(1_000_000, MINUTE)
    c = replace(c, ts=c.ts - 1_000_000 * MINUTE)
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        assert series_findings(c) == []
        spent.append(time.perf_counter() - started)
    # About 0.03 s on a quiet machine; the bound leaves room for a busy one.
    assert min(spent) < 0.25


# --- real files -------------------------------------------------------------------------------

# What the files of the shared material say beyond their layout: (severity, code).
GAPS, HALT, SPIKE = ("warning", "gaps"), ("info", "halt"), ("info", "spike")
ZERO, UNIT = ("info", "zero_volume"), ("warning", "volume_unit")
PERP = {
    "binancespot_LUNAUSDT_spot_1h": {GAPS, ZERO, SPIKE, ("warning", "coin_changed")},
    "ftx_BTC-PERP_perp_1m": {UNIT},
    "binanceusdm_BTCUSDT_perp_1h": {ZERO, HALT, SPIKE},
    "binanceusdm_BTCUSDT_perp_5m_2024": {ZERO, HALT},
    "binanceusdm_XRPUSDT_perp_5m_2024": {ZERO, HALT, SPIKE},
    "binanceusdm_DOGEUSDT_perp_1h": {SPIKE},
    "binanceusdm_DOGEUSDT_mark_1h": {SPIKE},
    "binanceusdm_ETHUSDT_perp_1h_2020": {SPIKE},
    "binanceusdm_ETHUSDT_mark_8h": set(),
    "binanceusdm_BTCUSDT_perp_5m_2022": set(),
    "binanceusdm_SOLUSDT_perp_15m": {SPIKE},
    "binanceusdm_GASUSDT_markoc_1h": {("warning", "no_high"), ("warning", "no_low")},
    "binanceusdm_NEARUSDT_perp_1m_2023": {ZERO},
    "binanceusdm_AVAXUSDT_perp_1m": set(),
}  # fmt: skip
FORMATS = {
    "synthetic_flat_prices_1h.csv": {("warning", "flat")},
    "tradingview_mexc_perp_5m_contracts.csv": {UNIT},
    "kraken_ohlcvt_60_sparse.csv": {GAPS, ("warning", "spike")},
    "kraken_api_ohlc_1m.json": {("warning", "zero_volume")},
    "ccxt_spot_1h_misaligned.json": {GAPS, ("warning", "off_grid")},
    "tradingview_binance_perp_1h.csv": set(),
}
LAYOUT = {"no_header", "banner", "ignored_columns", "order", "mixed_units", "duplicate"}


def seen(c: Candles) -> set[tuple[str, str]]:
    return {(f.severity, f.code) for f in c.findings if f.code in ALL}


ALL = {
    "gaps", "off_grid", "future", "unfinished", "flat", "flat_stretch", "halt", "zero_volume",
    "jump", "coin_changed", "spike", "mark_contradicts", "volume_unit", "no_high", "no_low",
}  # fmt: skip


@needs_shared
@pytest.mark.parametrize("name", PERP)
def test_real_perpetuals_raise_no_false_alarm(name: str) -> None:
    (path,) = real("x").parent.glob(f"{name}*")
    assert seen(load_candles(path, kind="mark" if "_mark" in name else "trade")) == PERP[name]


@needs_shared
@pytest.mark.parametrize("name", FORMATS)
def test_real_formats(name: str) -> None:
    path = shared_dir() / "data" / "formats" / name
    assert seen(load_candles(path, on_fault="drop")) - {("info", "zero_volume")} == FORMATS[name]


@needs_shared
def test_the_cascades_are_confirmed_and_two_famous_wicks_are_not() -> None:
    def told(data: str, mark: str) -> dict[str, Finding]:
        (path,), (marks,) = real("x").parent.glob(data), real("x").parent.glob(mark)
        c, m = read_candles(path), read_candles(marks, kind="mark")
        return {f.code: f for f in judge_by_mark(c, m, align_mark(c, m))}

    for symbol in ("ETH", "SOL", "XRP", "DOGE", "BNB"):
        for step in ("1h", "5m"):
            findings = told(f"*_{symbol}USDT_perp_{step}_2024*", f"*_{symbol}USDT_mark_1h_2024*")
            assert {f.severity for f in findings.values()} <= {"info"}, (symbol, step)
    eth = told("*_ETHUSDT_perp_1h_2020*", "*_ETHUSDT_mark_8h*")["mark_contradicts"]
    assert eth.count == 2  # 2020-03-13 up, 2021-05-19 down
    assert "last rises to 323 at 2020-03-13T02:00" in eth.message
    btc = told("*_BTCUSDT_perp_1h_2019*", "*_BTCUSDT_mark_8h*")["mark_contradicts"]
    assert "last rises to 48168.6 at 2021-07-26T01:00" in btc.message


@needs_shared
def test_the_halts_of_2025_stood_in_every_symbol() -> None:
    halts = halts_of(look_at_all(sorted(real("x").parent.glob("*_perp_5m_2024*"))))
    assert [(iso(a)[:16], iso(b)[:16]) for a, b in halts] == [
        ("2025-01-29T01:25", "2025-01-29T01:35"), ("2025-08-29T06:20", "2025-08-29T06:35"),
    ]  # fmt: skip


@needs_shared
def test_the_funding_interval_through_the_ftx_collapse() -> None:
    read = read_funding(real("binanceusdm_SOLUSDT_funding_20200913_20260630.parquet"))
    (said,) = [f for f in read.findings if f.code == "interval_change"]
    assert said.message == (
        "the funding interval changes from 8 h to 4 h at 2022-11-09T16:00:00+00:00; from 4 h to "
        "2 h at 2022-11-10T04:00:00+00:00; from 2 h to 8 h at 2022-11-18T08:00:00+00:00"
    )
