"""Which symbols are chosen and why the others are not, against an independent resampling."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverpack.candles.measures import is_pegged
from leverpack.candles.reader import read_candles
from leverpack.candles.series import Candles
from leverpack.candles.universe import (
    RANK_BY,
    SymbolMeasures,
    UniverseRules,
    measure,
    select,
    split_symbol,
    universe_from_files,
)
from leverpack.errors import DataError, SettingError
from tests.candles.helpers import HOUR, START, candles, write
from tests.conftest import needs_shared, real

DAY = 24 * HOUR


def walk(
    seed: int, days: int = 60, step: int = HOUR, daily: float = 0.05, start: int = START,
    symbol: str = "AAAUSDT", price: float = 100.0,
) -> Candles:  # fmt: skip
    """A random walk with this daily volatility."""
    rng = np.random.default_rng(seed)
    n = days * DAY // step
    close = price * np.exp(np.cumsum(rng.normal(0.0, daily * math.sqrt(step / DAY), n)))
    opens = np.concatenate(([price], close[:-1]))
    wick = np.abs(rng.normal(0.0, 0.001, (2, n))) + 1e-6
    made = candles(
        list(opens), list(np.maximum(opens, close) * (1 + wick[0])),
        list(np.minimum(opens, close) * (1 - wick[1])), list(close), step, start,
    )  # fmt: skip
    return replace(made, symbol=symbol, volume=rng.uniform(1.0, 100.0, n))


def resampled(c: Candles) -> tuple[int, float, float, float]:
    """Days, volatility, quote volume and range as pandas has them, without partial outer days."""
    index = pd.to_datetime(c.ts, unit="ms", utc=True)
    frame = pd.DataFrame(
        {"high": c.high, "low": c.low, "close": c.close, "value": c.volume * c.close}, index
    )
    daily = frame.resample("1D").agg(
        {"high": "max", "low": "min", "close": "last", "value": lambda v: v.sum(min_count=1)}
    )
    step = pd.Timedelta(c.timeframe_ms, unit="ms")
    if index[0] - daily.index[0] >= step:
        daily = daily.iloc[1:]
    if len(daily) and index[-1] + step < daily.index[-1] + pd.Timedelta(days=1):
        daily = daily.iloc[:-1]
    spread = (daily.high - daily.low) / daily.close
    volatility = np.log(daily.close).diff().std()
    return int(daily.close.count()), volatility, daily.value.median(), spread.mean()


def agrees(m: SymbolMeasures, c: Candles) -> None:
    days, volatility, value, spread = resampled(c)
    assert m.days == days
    assert m.daily_volatility == pytest.approx(volatility, rel=1e-9, nan_ok=True)
    if days:
        assert m.quote_volume == pytest.approx(value, rel=1e-9)
        assert m.range_spread == pytest.approx(spread, rel=1e-9)


def made(symbol: str = "AAAUSDT", **changes: object) -> SymbolMeasures:
    base, quote = split_symbol(symbol)
    sound = SymbolMeasures(
        symbol, base, quote, days=100, daily_volatility=0.05, quote_volume=1e6, range_spread=0.06,
        first_ms=START, last_ms=START + 100 * DAY, last_price=100.0,
    )  # fmt: skip
    return replace(sound, **changes)  # type: ignore[arg-type]


# --- measures ---------------------------------------------------------------------------------


def test_the_worked_example():
    c = candles([100, 100, 110], [101, 111, 112], [99, 100, 99], [100, 110, 99], DAY)
    m = measure(replace(c, volume=np.array([1.0, 2.0, 3.0])))
    assert m.daily_volatility == pytest.approx(0.14190, abs=5e-6)
    assert m.daily_volatility == pytest.approx(abs(math.log(1.1) - math.log(0.9)) / math.sqrt(2))
    assert m.quote_volume == 220.0  # the median of 100, 220 and 297
    assert m.range_spread == pytest.approx((2 / 100 + 11 / 110 + 13 / 99) / 3)
    assert (m.days, m.last_price, m.first_ms, m.last_ms) == (3, 99.0, START, START + 3 * DAY)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), step=st.sampled_from([5, 15, 60, 240, 480, 1440]),
    days=st.integers(1, 12), first=st.integers(0, 30), missing=st.floats(0.0, 0.6),
)  # fmt: skip
def test_any_timeframe_with_gaps_against_pandas(seed, step, days, first, missing):
    c = walk(seed, days, step * 60_000)
    keep = np.random.default_rng(seed).random(len(c)) >= missing
    keep[: min(first, len(c) - 1)] = False
    keep[-1] = True
    whole = {
        n: getattr(c, n)[keep] for n in ("ts", "open", "high", "low", "close", "volume")
    }
    c = replace(c, **whole)
    agrees(measure(c), c)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-6, 1e6), power=st.integers(-30, 30))
def test_the_unit_of_the_price_changes_no_fraction(seed, factor, power):
    c = walk(seed, 8, 4 * HOUR)

    def times(x: float) -> SymbolMeasures:
        p = {n: getattr(c, n) * x for n in ("open", "high", "low", "close")}
        return measure(replace(c, **p, volume=c.volume / x))

    plain, other, exact = measure(c), times(factor), times(2.0**power)
    assert other.daily_volatility == pytest.approx(plain.daily_volatility, rel=1e-7)
    assert other.range_spread == pytest.approx(plain.range_spread, rel=1e-9)
    assert other.quote_volume == pytest.approx(plain.quote_volume, rel=1e-9)
    assert other.days == plain.days
    assert exact.range_spread == plain.range_spread  # a power of two rounds nothing
    assert exact.quote_volume == plain.quote_volume


def test_coarser_candles_of_the_same_trades_tell_the_same():
    fine = walk(7, 40, 15 * 60_000)
    n = 16  # quarters of an hour in 4 hours
    coarse = replace(
        fine, timeframe_ms=4 * HOUR, ts=fine.ts[::n], open=fine.open[::n],
        high=fine.high.reshape(-1, n).max(1), low=fine.low.reshape(-1, n).min(1),
        close=fine.close[n - 1 :: n], volume=fine.volume.reshape(-1, n).sum(1),
    )  # fmt: skip
    a, b = measure(fine), measure(coarse)
    assert (a.daily_volatility, a.range_spread) == (b.daily_volatility, b.range_spread)
    assert (a.days, a.last_ms, a.last_price) == (b.days, b.last_ms, b.last_price)


def test_a_return_across_missing_days_is_no_daily_return():
    closes = [100.0, 101.0, 100.0, 9000.0, 9090.0, 9000.0]
    c = candles(closes, closes, closes, closes, DAY)
    gap = c.ts.copy()
    gap[3:] += 18 * DAY  # the ticker comes back as another coin
    m = measure(replace(c, ts=gap))
    assert m.daily_volatility == pytest.approx(np.std([0.00995, -0.00995] * 2, ddof=1), abs=1e-5)
    assert measure(c).daily_volatility > 1.0


def test_as_known_at_a_time_nothing_later_counts():
    c = walk(3, 30)
    now = START + 20 * DAY + HOUR // 2
    m = measure(c, now)
    past = measure(c.slice(0, 20 * 24))
    assert (m.daily_volatility, m.quote_volume, m.range_spread, m.days, m.last_price) == (
        past.daily_volatility, past.quote_volume, past.range_spread, past.days, past.last_price,
    )  # fmt: skip
    assert m.last_ms == now  # a candle is still forming: the market is alive
    assert measure(c, c.ts[-1] + 99 * DAY) == measure(c)
    assert measure(c, START + 1).days == 0
    with pytest.raises(DataError, match="no candle begins before 2024-12-31"):
        measure(c, START - 1)


def test_the_longest_stretch_without_a_change():
    p = [100.0 + i for i in range(10)] + [109.0] * 30 + [120.0] * 5
    c = candles(p, p, p, p)
    m = measure(c)
    # It moves to 109 in candle 9, so candles 10 to 39 stand still.
    assert m.flat_hours == 30.0
    assert m.flat_until_ms == START + 40 * HOUR
    assert measure(candles([1.0] * 7, [1.0] * 7, [1.0] * 7, [1.0] * 7)).flat_hours == 7.0
    assert measure(walk(1, 5)).flat_hours == 0.0


def test_what_cannot_be_measured():
    weekly = candles([1.0] * 9, [1.1] * 9, [0.9] * 9, [1.0] * 9, 7 * DAY)
    with pytest.raises(DataError, match="made: candles of 1w are longer than a day"):
        measure(weekly)
    with pytest.raises(DataError, match="no candles"):
        measure(weekly.slice(0, 0))
    one = measure(replace(walk(1, 1, DAY), timeframe_ms=0))
    assert (one.days, one.quote_volume) == (0, 0.0)
    assert math.isnan(one.daily_volatility)
    assert one.to_dict()["daily_volatility"] is None


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTC/USDT:USDT", ("BTC", "USDT")), ("BTCUSDT", ("BTC", "USDT")),
        ("btc-usdt", ("BTC", "USDT")), ("BTC_USDC", ("BTC", "USDC")),
        ("BTC-USDT-SWAP", ("BTC", "USDT")), ("BTCUSDT.P", ("BTC", "USDT")),
        ("BTC-PERP", ("BTC", "USD")), ("WBTC-PERP", ("WBTC", "USD")), ("ETHBTC", ("ETH", "BTC")),
        ("USDCUSDT", ("USDC", "USDT")), ("FDUSDUSDT", ("FDUSD", "USDT")),
        ("BTCFDUSD", ("BTC", "FDUSD")), ("ETHTUSD", ("ETH", "TUSD")), ("DOTUSD", ("DOT", "USD")),
        ("USDTUSD", ("USDT", "USD")), ("1000PEPEUSDT", ("1000PEPE", "USDT")),
        ("USDT", ("USDT", "")), ("my file", ("MY FILE", "")),
    ],
)  # fmt: skip
def test_base_and_quote(symbol: str, parts: tuple[str, str]):
    assert split_symbol(symbol) == parts


# --- rules ------------------------------------------------------------------------------------


def test_every_reason_names_its_number():
    now = START + 100 * DAY
    one = {
        "SHORTUSDT": made("SHORTUSDT", days=29),
        "USDCUSDT": made("USDCUSDT", last_price=0.9998),
        "EURUSDT": made("EURUSDT", last_price=1.08),
        "MIMUSDT": made("MIMUSDT", daily_volatility=0.0029, last_price=1.0199),
        "STALEUSDT": made("STALEUSDT", last_ms=now - 49 * HOUR),
        "FLATUSDT": made("FLATUSDT", flat_hours=30.0, flat_until_ms=now),
        "CALMUSDT": made("CALMUSDT", daily_volatility=0.0299),
        "THINUSDT": made("THINUSDT", quote_volume=99_999.0),
        "TIGHTUSDT": made("TIGHTUSDT", range_spread=0.01),
        "AAABTC": made("AAABTC"),
        "GAPPYUSDT": made("GAPPYUSDT", daily_volatility=math.nan),
        "GOODUSDT": made("GOODUSDT", daily_volatility=0.03, quote_volume=1e5, range_spread=0.02),
    }
    rules = UniverseRules(min_volume=1e5, min_range=0.02, quote="usdt")
    got = select(one.values(), rules)
    assert got.symbols == ["GOODUSDT"]
    expected = {
        "SHORTUSDT": "too little history: 29 whole days of candles, at least 30 are needed",
        "USDCUSDT": "USDC and USDT are both currencies or pegged to one (price 0.9998, ",
        "EURUSDT": "EUR and USDT are both currencies or pegged to one (price 1.08, ",
        "MIMUSDT": "behaves like a stablecoin: price 1.0199, daily volatility 0.29 %",
        "STALEUSDT": "49.0 hours before the newest, at most 48 are allowed",
        "FLATUSDT": "no price changed for 30.0 hours up to 2025-04-11 00:00 UTC",
        "CALMUSDT": "daily volatility 2.99 %, at least 3 % is wanted",
        "THINUSDT": "quote volume 99,999 a day, at least 100,000 USDT is wanted",
        "TIGHTUSDT": "daily range 1 %, at least 2 % is wanted",
        "AAABTC": "quoted in BTC, not in USDT",
        "GAPPYUSDT": "no two daily returns among its 100 days",
    }
    assert got.left_out.keys() == expected.keys()
    for symbol, words in expected.items():
        assert words in got.left_out[symbol]


def test_the_bounds_themselves_are_inside():
    now = START + 100 * DAY
    edge = made(
        "EDGEUSDT", days=30, daily_volatility=0.03, last_ms=now - 48 * HOUR, flat_hours=24.0,
        quote_volume=5.0, range_spread=0.02,
    )  # fmt: skip
    rules = UniverseRules(min_volume=5.0, min_range=0.02)
    assert select([edge, made()], rules).symbols == ["AAAUSDT", "EDGEUSDT"]


def test_a_stablecoin_needs_both_the_calm_and_the_price():
    rules = UniverseRules(min_volatility=0.0)
    calm = made("XUSDT", daily_volatility=0.0029, last_price=1.0)
    assert "behaves like" in select([calm], rules).left_out["XUSDT"]
    for other in (replace(calm, last_price=1.021), replace(calm, daily_volatility=0.003)):
        assert select([other], rules).symbols == ["XUSDT"]
    # A stablecoin against a coin is that coin the other way round: something to trade.
    assert select([made("USDCBTC")]).symbols == ["USDCBTC"]
    assert is_pegged("USDC")
    assert not is_pegged("BTC")


def test_age_counts_to_now_when_it_is_given():
    m = made()
    assert select([m]).symbols == ["AAAUSDT"]
    late = select([m], now=m.last_ms + 100 * HOUR)
    assert "100.0 hours before now" in late.left_out["AAAUSDT"]


@pytest.mark.parametrize("rank_by", RANK_BY)
def test_ranking_with_ties_by_symbol_and_top(rank_by: str):
    what = {"volatility": "daily_volatility", "volume": "quote_volume", "range": "range_spread"}
    some = [
        made("BUSDT", **{what[rank_by]: 0.07}), made("CUSDT", **{what[rank_by]: 0.07}),
        made("AUSDT", **{what[rank_by]: 0.04}), made("DUSDT", **{what[rank_by]: 0.09}),
    ]  # fmt: skip
    rules = UniverseRules(rank_by=rank_by)
    assert select(some, rules).symbols == ["DUSDT", "BUSDT", "CUSDT", "AUSDT"]
    top = select(some, replace(rules, top=3))
    assert top.symbols == ["DUSDT", "BUSDT", "CUSDT"]
    assert top.left_out == {"AUSDT": f"ranked 4 of 4 by {rank_by}, and only 3 are wanted"}


measures = st.builds(
    made,
    st.sampled_from([f"{c}{q}" for c in "ABCDEFGH" for q in ("USDT", "BTC")] + ["USDCUSDT"]),
    days=st.integers(0, 60),
    daily_volatility=st.one_of(st.just(math.nan), st.floats(0.0, 0.2)),
    quote_volume=st.floats(0.0, 1e9),
    range_spread=st.floats(0.0, 0.3),
    last_ms=st.integers(START, START + 5 * DAY),
    last_price=st.floats(0.5, 2.0),
    flat_hours=st.floats(0.0, 48.0),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(measures, unique_by=lambda m: m.symbol, max_size=12), st.sampled_from(RANK_BY),
    st.floats(0.0, 0.1), st.floats(0.0, 0.1), st.integers(0, 99),
    st.one_of(st.none(), st.integers(1, 5)),
)  # fmt: skip
def test_every_symbol_is_chosen_or_left_out_whatever_the_order(
    some, rank_by, low, more, seed, top
):
    rules = UniverseRules(min_volatility=low, rank_by=rank_by, top=top)
    got = select(some, rules)
    assert sorted([*got.symbols, *got.left_out]) == sorted(m.symbol for m in some)
    newest = max((m.last_ms for m in some), default=0)
    for m in got.chosen:
        assert m.daily_volatility >= low
        assert m.days >= 30
        assert newest - m.last_ms <= 48 * HOUR
        assert m.flat_hours <= 24
    mixed = list(some)
    random.Random(seed).shuffle(mixed)
    again = select(mixed, rules)
    assert (again.symbols, list(again.left_out.items())) == (
        got.symbols, list(got.left_out.items())
    )  # fmt: skip
    if top is None:
        stricter = select(some, replace(rules, min_volatility=min(0.99, low + more)))
        assert [s for s in got.symbols if s in stricter.symbols] == stricter.symbols


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"min_volatility": 3.0}, "min_volatility is a fraction .* not 3.0"),
        ({"min_volatility": math.nan}, "min_volatility"), ({"min_range": -0.1}, "min_range"),
        ({"stable_distance": 2.0}, "stable_distance"), ({"min_volume": -1.0}, "min_volume"),
        ({"max_age_hours": math.inf}, "max_age_hours"), ({"max_flat_hours": -1.0}, "max_flat"),
        ({"min_days": 2}, "min_days must be 3 or more"), ({"top": 0}, "top must be 1 or more"),
        ({"quote": " "}, "quote is empty"), ({"rank_by": "luck"}, "volatility, volume, range"),
    ],
)  # fmt: skip
def test_rules_that_make_no_sense(rules: dict[str, object], words: str):
    with pytest.raises(SettingError, match=words):
        select([], UniverseRules(**rules))  # type: ignore[arg-type]


def test_one_measure_for_a_symbol():
    with pytest.raises(SettingError, match="AAAUSDT is measured twice"):
        select([made(), made("BBBUSDT"), made()])
    assert select([]).to_dict()["chosen"] == []


# --- files ------------------------------------------------------------------------------------


def save(folder: Path, name: str, c: Candles) -> Path:
    lines = [
        ",".join(map(repr, map(float, row))).replace(".0,", ",", 1)
        for row in zip(c.ts, c.open, c.high, c.low, c.close, c.volume, strict=True)
    ]
    return write(folder / name, lines)


def test_a_folder_of_all_sorts(tmp_path: Path):
    fine, coarse = walk(1, 40, HOUR), walk(2, 40, 4 * HOUR)
    save(tmp_path, "AAAUSDT_1h.csv", fine)
    save(tmp_path, "AAA_USDT-4h.csv", coarse)
    save(tmp_path, "bbb_usdt-1h.csv", walk(3, 40, daily=0.08))
    save(tmp_path, "USDCUSDT-1h.csv", walk(4, 40, daily=0.0005, price=1.0))
    save(tmp_path, "PEGUSDT-1h.csv", walk(4, 40, daily=0.0005, price=1.0))
    save(tmp_path, "OLDUSDT-1h.csv", walk(5, 31))
    save(tmp_path, "AAAUSDT_mark_15m.csv", replace(fine, volume=np.zeros(len(fine))))
    save(tmp_path, "CCCUSDT_perp_mark_1h.csv", walk(6, 40, daily=0.2))
    write(tmp_path / "AAAUSDT_funding.csv", [f"{START},0.0001"], "time,rate")
    write(tmp_path / "BADUSDT.csv", [f"{START},1,2,1,1,1", f"{START + HOUR},1,x,1,1,1"])
    (tmp_path / "notes.txt").write_text("buy low, sell high\n")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "deeper").mkdir()
    got = universe_from_files(tmp_path)
    assert sorted(got.symbols) == ["AAAUSDT", "BBB/USDT", "CCCUSDT"]
    assert got.symbols[0] == "CCCUSDT"
    assert "USDC and USDT" in got.left_out["USDCUSDT"]
    assert "behaves like a stablecoin" in got.left_out["PEGUSDT"]
    assert "216.0 hours before the newest" in got.left_out["OLDUSDT"]
    refused = {Path(path).name: reason for path, reason in got.refused.items()}
    assert refused.keys() == {
        "AAAUSDT_mark_15m.csv", "AAAUSDT_funding.csv", "BADUSDT.csv", "notes.txt"
    }  # fmt: skip
    assert refused["AAAUSDT_mark_15m.csv"].startswith("named mark: ")
    assert refused["AAAUSDT_funding.csv"].startswith("named funding: ")
    assert refused["BADUSDT.csv"].startswith("line 3: the high 'x' is not a number")
    (note,) = got.notes
    assert note == "AAAUSDT: AAAUSDT_1h.csv (1h) counts, not AAA_USDT-4h.csv (4h)"
    chosen = next(m for m in got.chosen if m.symbol == "AAAUSDT")
    agrees(chosen, fine)
    assert universe_from_files([tmp_path / "notes.txt", str(tmp_path / "BAD*")]).chosen == []


def test_files_folders_and_globs_name_the_same_files_once(tmp_path: Path):
    save(tmp_path, "AAAUSDT.csv", walk(1, 40))
    save(tmp_path, "BBBUSDT.csv", walk(2, 40))
    all_of = universe_from_files(tmp_path).to_dict()
    assert len(all_of["chosen"]) == 2
    assert universe_from_files(str(tmp_path / "*.csv")).to_dict() == all_of
    round_about = tmp_path / ".." / tmp_path.name / "AAAUSDT.csv"
    assert universe_from_files([round_about, tmp_path, tmp_path]).to_dict() == all_of
    for wrong in ("nowhere", "nowhere/*.csv"):
        with pytest.raises(DataError, match=r"nowhere.*no such folder or file"):
            universe_from_files([tmp_path, wrong])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no files"):
        universe_from_files(tmp_path / "empty")


def test_of_equal_timeframes_the_later_file_and_never_one_without_volume(tmp_path: Path):
    late = walk(2, 40, HOUR, start=START + 72 * DAY)
    save(tmp_path, "AAAUSDT-2025-02.csv", walk(1, 40))
    save(tmp_path, "AAAUSDT-2025-03.csv", late)
    index = walk(3, 40, HOUR // 4, start=START + 72 * DAY)
    save(tmp_path, "AAAUSDT-x.csv", replace(index, volume=np.zeros(len(index))))
    got = universe_from_files(tmp_path)
    assert Path(got.chosen[0].source).name == "AAAUSDT-2025-03.csv"
    agrees(got.chosen[0], late)
    assert "not AAAUSDT-2025-02.csv (1h), AAAUSDT-x.csv (15m)" in got.notes[0]


def test_monthly_archives_are_one_series(tmp_path: Path):
    whole = walk(1, 90)
    month, hours = 30 * 24, len(whole)
    save(tmp_path, "AAAUSDT-1h-2025-01.csv", whole.slice(0, month))
    save(tmp_path, "AAAUSDT-1h-2025-02.csv", whole.slice(month, 2 * month))
    save(tmp_path, "AAAUSDT-1h-2025-03.csv", whole.slice(2 * month - 5, hours - 20))  # overlaps
    save(tmp_path, "AAAUSDT-1h-2025-04.csv", whole.slice(hours - 20, hours))  # under a day
    save(tmp_path, "AAAUSDT-4h.csv", walk(1, 90, 4 * HOUR))
    save(tmp_path, "BBBUSDT-1h.csv", walk(2, 90))
    got = universe_from_files(tmp_path)
    (one,) = [m for m in got.chosen if m.symbol == "AAAUSDT"]
    agrees(one, whole)
    assert got.notes[0] == (
        "AAAUSDT: 4 files joined, AAAUSDT-1h-2025-01.csv (1h) to AAAUSDT-1h-2025-04.csv (1h)"
    )
    assert got.notes[1].endswith("not AAAUSDT-4h.csv (4h)")
    assert len(got.notes) == 2


def test_a_missing_month_is_a_gap_a_missing_season_another_series(tmp_path: Path):
    early, late = walk(1, 40), walk(2, 40, start=START + 71 * DAY)
    save(tmp_path, "AAAUSDT-a.csv", early)
    save(tmp_path, "AAAUSDT-b.csv", late)
    got = universe_from_files(tmp_path)
    assert got.chosen[0].days == 80
    save(tmp_path, "AAAUSDT-b.csv", replace(late, ts=late.ts + HOUR))
    got = universe_from_files(tmp_path)
    agrees(got.chosen[0], replace(late, ts=late.ts + HOUR))
    assert got.notes == ["AAAUSDT: AAAUSDT-b.csv (1h) counts, not AAAUSDT-a.csv (1h)"]


def test_archives_that_contradict_each_other_are_not_joined(tmp_path: Path):
    save(tmp_path, "AAAUSDT-a.csv", walk(1, 40))
    other = walk(2, 40, start=START + 39 * DAY)
    save(tmp_path, "AAAUSDT-b.csv", other)
    got = universe_from_files(tmp_path)
    agrees(got.chosen[0], other)
    (note,) = got.notes
    assert note.startswith("AAAUSDT: AAAUSDT-b.csv (1h) counts alone: ")
    assert "AAAUSDT-a.csv" in note
    joined = universe_from_files(tmp_path, on_fault="drop")
    assert joined.chosen[0].days == 79


def test_a_volume_in_quote_currency_or_contracts(tmp_path: Path):
    c = walk(1, 40)
    path = save(tmp_path, "AAAUSDT-1h.csv", c)
    plain = universe_from_files(tmp_path).chosen[0].quote_volume
    turnover = replace(c, volume=c.volume * c.close)
    path = save(tmp_path, "AAAUSDT-1h.csv", turnover)
    path.write_text(path.read_text().replace(",volume", ",quote_volume"))
    assert universe_from_files(tmp_path).chosen[0].quote_volume == pytest.approx(plain)
    path = save(tmp_path, "AAAUSDT-1h.csv", replace(c, volume=c.volume * 1e10))
    (note,) = universe_from_files(tmp_path).notes
    assert note == "AAAUSDT: the volume is hardly in base units, so volume/day is off"


def test_a_single_candle_is_not_the_finest(tmp_path: Path):
    idle = walk(1, 40)
    idle = replace(idle, volume=np.zeros(len(idle)))
    save(tmp_path, "AAAUSDT-a.csv", idle)
    save(tmp_path, "AAAUSDT-b.csv", idle.slice(0, 1))
    got = universe_from_files(tmp_path)
    assert got.notes == ["AAAUSDT: AAAUSDT-a.csv (1h) counts, not AAAUSDT-b.csv (one candle)"]
    assert got.symbols == ["AAAUSDT"]


def test_on_fault_and_now_reach_the_files(tmp_path: Path):
    path = save(tmp_path, "AAAUSDT.csv", walk(1, 40))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:100], "bad,1,1,1,1,1", *lines[100:]]))
    assert list(universe_from_files(path).refused) == [str(path)]
    got = universe_from_files(path, on_fault="drop", now=START + 35 * DAY)
    assert got.chosen[0].days == 35


# --- real candles -----------------------------------------------------------------------------


@needs_shared
def test_the_whole_folder_of_real_perpetuals():
    folder = real("index.json").parent
    got = universe_from_files(folder, UniverseRules(max_age_hours=240))
    assert got.symbols == ["HYPEUSDT", "DOGEUSDT", "SOLUSDT", "XRPUSDT", "ETHUSDT"]
    for m in got.chosen:
        agrees(m, read_candles(m.source))
        size = "1h" if m.symbol == "HYPEUSDT" else "5m"
        assert f"_perp_{size}_" in m.source
    assert "daily volatility 2.376 %" in got.left_out["BTCUSDT"]
    assert "daily volatility 2.807 %" in got.left_out["BNBUSDT"]
    for symbol in ("AVAXUSDT", "LINKUSDT", "NEARUSDT"):
        assert "28 whole days" in got.left_out[symbol]
    for symbol in ("ADAUSDT", "BTC-PERP", "GASUSDT", "LUNAUSDT"):
        assert got.left_out[symbol].startswith("stale")
    no_trades = {
        p.name for p in folder.iterdir()
        if any(w in p.name for w in ("_mark", "_funding", ".json", ".md"))
    }  # fmt: skip
    assert {Path(p).name for p in got.refused} == no_trades
    # One file in March 2026 makes all that ends on 19 February stale at the default of 48 hours.
    assert universe_from_files(folder).symbols == []


@needs_shared
@pytest.mark.parametrize(
    "name",
    [
        "binancespot_LUNAUSDT_spot_1h_20200821_20220711",  # another coin after 18 days of nothing
        "binanceusdm_BTCUSDT_perp_1h_20190908_20260219",
        "binanceusdm_SOLUSDT_perp_15m_20221001_20230102",
        "ftx_BTC-PERP_perp_1m_20211231_20220201",
    ],
)
def test_real_files_against_pandas(name: str):
    c = read_candles(real(f"{name}.parquet"))
    m = measure(c)
    agrees(m, c)
    assert m.days > 30


@needs_shared
def test_the_universe_before_a_crash_knows_nothing_of_it():
    folder = real("index.json").parent
    before = 1_760_054_400_000  # 2025-10-10T00:00Z
    got = universe_from_files(str(folder / "*perp_1h_2024*"), UniverseRules(), now=before)
    for m in got.chosen:
        agrees(m, read_candles(m.source).between(None, before - 1))
    assert {"DOGEUSDT", "SOLUSDT", "XRPUSDT", "ETHUSDT"} >= set(got.symbols) >= {"DOGEUSDT"}
