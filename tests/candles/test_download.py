"""Downloads by the unmodified ccxt from a paper exchange, over a line that breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.candles.download.client import Client, open_exchange
from leverpack.candles.download.parts import Label, SeriesFile
from leverpack.candles.download.run import Downloaded, Wish, download
from leverpack.candles.download.spans import holds_mark, holes, joined, without
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, Funding
from leverpack.candles.store import read_about, write_series
from leverpack.candles.timeframes import DAY_MS
from leverpack.errors import DataError, SettingError
from leverpack.margin.tiers import read_tiers
from leverpack.paper.client import point_at
from leverpack.paper.instrument import instrument_for
from leverpack.paper.tape import Tape
from tests.candles.relay import Relay, relaying
from tests.paper.stand import HOUR, START, UNIFIED, Stand, candles, serving, session, walk

COUNT = 400  # closed candles; one more is forming
PAGE = 90  # a small page costs little of ccxt's rate limit
COLUMNS = ("ts", "open", "high", "low", "close", "volume")


@dataclass
class Market:
    """A running exchange with a relay before it, and what it has."""

    stand: Stand
    relay: Relay
    trades: Candles
    marks: Candles
    funding: Funding
    folder: Path
    venue: str

    def client(self, **options: Any) -> Client:
        made = point_at(open_exchange(self.venue, "paper", "paper"), self.relay.url)
        return Client(made, **{"first_wait": 0.01, **options})

    def get(
        self, start: int = START, end: int | None = START + COUNT * HOUR, *,
        client: Client | None = None, **wish: Any,
    ) -> list[Downloaded]:  # fmt: skip
        """A download of candles, or what else is wished."""
        made = Wish((UNIFIED,), wish.pop("timeframe", "1h"), start, end, self.folder,
                    page=wish.pop("page", PAGE), **wish)  # fmt: skip
        return download(client or self.client(), made)

    @property
    def path(self) -> Path:
        return self.folder / "BTCUSDT_1h.parquet"

    def fault(self, kind: str, **more: Any) -> None:
        self.stand.admin("POST", "faults", kind=kind, **more)

    def asked(self, name: str = "klines") -> list[tuple[int, int]]:
        """The spans of hourly candles (or settlements) asked for since the last call."""
        more = {"interval": "1h"} if "lines" in name else {}
        found = self.relay.spans(name, **more)
        self.relay.asked.clear()
        return found


@contextmanager
def market(
    folder: Path, *, venue: str = "binanceusdm", count: int = COUNT,
    without_rows: slice | None = None, speed: float = 1.0,
) -> Iterator[Market]:  # fmt: skip
    trades = candles(walk(count + 5))
    trades.volume[:] = np.arange(count + 5) + 0.125
    marks = candles(walk(count + 5, seed=6), kind="mark")
    if without_rows is not None:
        trades, marks = (_without(c, without_rows) for c in (trades, marks))
    at = np.arange(START, START + count * HOUR, 8 * HOUR)
    funding = Funding(at, np.round(np.linspace(-1e-4, 3e-4, len(at)), 8))
    # Running, so that a candle is forming when the replay starts after the closed ones.
    tape = Tape(instrument_for(trades), trades, marks, funding, START + count * HOUR)
    with (
        serving(session(tape, speed=speed, venue=venue)) as stand,
        relaying(stand.url) as relay,
    ):
        closed = int(np.searchsorted(trades.ts, START + count * HOUR))
        yield Market(
            stand, relay, trades.slice(0, closed), marks.slice(0, closed), funding, folder, venue
        )


def _without(series: Candles, rows: slice) -> Candles:
    kept = np.delete(np.arange(len(series)), rows)
    return replace(series, **{name: getattr(series, name)[kept] for name in COLUMNS})


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Market]:
    with market(tmp_path / "data") as running:
        yield running


def same(path: Path, series: Candles | Funding, columns: tuple[str, ...] = COLUMNS) -> None:
    """The file holds the series bit for bit."""
    if isinstance(series, Funding):
        found: Any = read_funding(path)
        columns = ("ts", "rate")
    else:
        found = read_candles(path, kind=series.kind)
        columns = columns if series.kind == "trade" else columns[:5]
    for name in columns:
        assert getattr(found, name).tobytes() == getattr(series, name).tobytes(), name


def overlap(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """How long (ms) both lists of spans have in common."""
    def length(spans: list[tuple[int, int]]) -> int:
        return sum(b - a for a, b in joined(spans))

    return length(one) + length(other) - length([*one, *other])


# --- what comes -------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["binanceusdm", "bybit"])
def test_all_kinds_are_the_tapes_bit_for_bit_and_only_what_is_closed(tmp_path: Path, venue: str):
    with market(tmp_path, venue=venue) as here:
        if venue == "binanceusdm":
            shown = here.stand.raw("GET", "/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=2").body
            assert shown[-1][0] == START + COUNT * HOUR  # the forming one is offered
        found = here.get(end=None, mark=True, funding=True, tiers=True)
        names = ["BTCUSDT_1h.parquet", "BTCUSDT_mark_1h.parquet", "BTCUSDT_funding.parquet",
                 "tiers_2025-01-17.csv"]  # fmt: skip
        assert [one.path.name for one in found] == names
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
        for one, series in zip(found, (here.trades, here.marks, here.funding), strict=False):
            same(one.path, series)
            assert (one.rows, one.new, one.gaps, one.notes) == (len(series), len(series), [], [])
        read = read_candles(found[0].path)
        assert (read.symbol, read.volume_unit, read.timeframe_ms) == (UNIFIED, "base", HOUR)
        table = read_tiers(found[3].path).at(UNIFIED)
        own = here.stand.session.exchange.books.position("BTCUSDT").tiers
        assert (table.caps, table.mmrs) == (own.caps, own.mmrs)
        assert table.cums == pytest.approx(own.cums)  # Bybit's are worked out by ccxt
        assert (table.max_leverages, str(table.valid_from)) == (own.max_leverages, "2025-01-17")


def test_a_second_run_asks_for_nothing_and_longer_ones_only_for_the_ends(here: Market):
    first = (START + 100 * HOUR, START + 200 * HOUR)
    more = {"mark": True, "funding": True, "tiers": True}
    here.get(*first, **more)
    before = here.path.read_bytes()
    here.relay.asked.clear()
    again = here.get(*first, **more)
    assert {a.name for a in here.relay.asked} == {"exchangeInfo", "time"}
    assert [one.new for one in again] == [0, 0, 0, 0]
    assert here.path.read_bytes() == before
    here.relay.asked.clear()
    here.get(START, START + 300 * HOUR, **more)
    for name in ("klines", "markPriceKlines", "fundingRate"):
        asked = here.relay.spans(name)
        assert asked
        assert overlap(asked, [first]) == 0, name
    same(here.path, here.trades.slice(0, 300))
    same(here.folder / "BTCUSDT_mark_1h.parquet", here.marks.slice(0, 300))
    same(here.folder / "BTCUSDT_funding.parquet", here.funding.between(None, START + 299 * HOUR))


def test_what_stood_there_first_stays_and_a_file_from_elsewhere_is_extended(here: Market):
    here.folder.mkdir()
    mine = here.trades.slice(50, 150)
    mine = replace(mine, close=mine.close + 0.05, high=mine.high + 0.05, symbol="BTCUSDT",
                   volume_unit="base")  # fmt: skip
    write_series(_without(mine, slice(20, 30)), here.path)
    found = here.get()
    asked = here.asked()
    assert overlap(asked, [(START + 50 * HOUR, START + 70 * HOUR)]) == 0
    assert overlap(asked, [(START + 80 * HOUR, START + 150 * HOUR)]) == 0
    assert (found[0].rows, found[0].new) == (COUNT, COUNT - 90)
    read = read_candles(here.path)
    kept = np.r_[50:70, 80:150]
    assert read.close[kept].tolist() == (here.trades.close[kept] + 0.05).tolist()
    assert np.delete(read.close, kept).tolist() == np.delete(here.trades.close, kept).tolist()


def test_longer_candles_and_a_day_that_still_runs(here: Market):
    found = here.get(timeframe="4h", end=None)
    read = read_candles(found[0].path)
    assert found[0].path.name == "BTCUSDT_4h.parquet"
    assert read.ts.tolist() == list(range(START, START + COUNT * HOUR, 4 * HOUR))
    assert read.high.tolist() == here.trades.high.reshape(-1, 4).max(axis=1).tolist()
    days = read_candles(here.get(timeframe="1d", end=None)[0].path)
    assert days.ts[-1] + DAY_MS <= START + COUNT * HOUR  # 400 hours: the seventeenth still runs
    assert len(days) == COUNT // 24


# --- an exchange and a line as they are ---------------------------------------------------------


def test_a_line_that_breaks_in_every_way(here: Market):
    lines = {"path": "/fapi/v1/klines"}
    kinds = ("rate_limit", "lost_response", "lost_request", "delay", "error_before", "error_after",
             "maintenance", "malformed", "ban", "duplicate", "timeout_after")  # fmt: skip
    for after, kind in enumerate(kinds):
        here.fault(kind, after=min(after, 8), seconds=0.05, **lines)
    heard: list[str] = []
    found = here.get(client=here.client(told=heard.append))
    same(here.path, here.trades)
    assert (found[0].gaps, found[0].new) == ([], COUNT)
    rules = here.stand.admin("GET", "faults")["rules"]
    assert [r["happened"] for r in rules] == [1] * len(kinds)
    # 429 and 418 said how long to wait, and were obeyed.
    assert len([s for s in heard if "DDoSProtection" in s and "again in 1.0 s" in s]) == 2
    assert len(heard) >= 8


def test_pages_that_lost_rows_are_completed(here: Market):
    here.relay.spoil["klines"] = [
        lambda rows: [],
        lambda rows: rows,
        lambda rows: rows[: len(rows) // 2],
        lambda rows: rows,
        lambda rows: [*rows[:7], *rows[3:40], *rows[41:]],
        lambda rows: rows,
        lambda rows: rows[20:],
    ]
    found = here.get()
    assert here.relay.spoil["klines"] == []
    same(here.path, here.trades)
    assert found[0].gaps == []


def test_a_hole_of_the_exchange_is_asked_for_once_more_then_told(tmp_path: Path):
    with market(tmp_path, without_rows=slice(130, 137)) as here:
        hole = (START + 130 * HOUR, START + 137 * HOUR)
        found = here.get()
        assert found[0].gaps == [hole]
        asked = here.asked()
        assert len([s for s in asked if s[0] <= hole[0] and hole[1] <= s[1]]) == 2
        assert len(asked) == -(-COUNT // PAGE) + 1
        same(here.path, here.trades)
        again = here.get()
        assert here.asked() == []
        assert again[0].gaps == [hole]


def test_a_fresh_hole_at_the_end_is_asked_for_again_later(here: Market):
    here.relay.spoil["klines"] = [lambda rows: rows[:-3], lambda rows: []]
    here.get(page=500)
    assert read_candles(here.path).ts[-1] == START + (COUNT - 4) * HOUR
    here.relay.asked.clear()
    assert here.get(page=500)[0].new == 3
    ((start, end),) = here.asked()
    assert start == START + (COUNT - 3) * HOUR
    assert end <= START + COUNT * HOUR
    same(here.path, here.trades)


def test_a_symbol_that_was_listed_later_costs_few_requests(here: Market):
    years = START - 3 * 365 * DAY_MS
    found = here.get(years, mark=True, funding=True)
    for one, series in zip(found, (here.trades, here.marks, here.funding), strict=True):
        same(one.path, series)
        assert "the exchange has none before" in one.notes[0]
    # 26,000 hours before: 292 empty pages, which are not asked for.
    assert len(here.relay.asked) < 40
    here.relay.asked.clear()
    here.get(years, mark=True, funding=True)
    assert here.relay.spans("klines") == here.relay.spans("markPriceKlines") == []
    # Whether a settlement has come since the last one cannot be known without asking.
    ((start, _),) = here.relay.spans("fundingRate")
    assert start == here.funding.ts[-1] + 1


def test_an_exchange_that_keeps_short_candles_for_some_weeks_only(here: Market):
    kept = START + 333 * HOUR
    here.relay.spoil["klines"] = [
        lambda rows: [r for r in rows if r[6] - r[0] > HOUR or r[0] >= kept]
    ] * 99  # days are kept for ever
    found = here.get(page=10)
    same(here.path, here.trades.slice(333, COUNT))
    assert "begins at 2025-01-14T21:00:00" in found[0].notes[0]
    # 33 of 40 pages are empty; one by one, twice each and with a look at the days: 99 requests.
    assert len(here.relay.asked) < 50
    here.relay.asked.clear()
    here.get(page=10)
    assert here.asked() == []


def test_nothing_at_all_is_no_file(here: Market):
    year = START - 365 * DAY_MS
    found = here.get(year, year + 100 * DAY_MS)
    assert (found[0].rows, found[0].span) == (0, None)
    assert "no file is written" in found[0].notes[0]
    assert not here.path.exists()
    here.relay.asked.clear()
    here.get(year, year + 100 * DAY_MS)
    assert here.asked() == []


def test_what_was_fetched_before_a_failure_is_not_asked_for_again(here: Market):
    here.fault("error_before", path="/fapi/v1/klines", after=3, times=2)
    with pytest.raises(DataError, match=r"candles of BTC/USDT:USDT could not be had .* goes on"):
        here.get(client=here.client(attempts=2))
    assert not here.path.exists()
    first = here.asked()
    here.stand.admin("DELETE", "faults")
    (pages,) = here.folder.glob(".*.pages")
    (pages / "0_99.npy").write_bytes(b"")  # a disk that failed
    (pages / "notes.txt").write_text("mine")
    here.get()
    assert overlap(here.asked(), first[:3]) == 0
    same(here.path, here.trades)
    assert [p.name for p in here.folder.iterdir()] == [here.path.name]


def test_pages_that_are_in_the_file_already_change_nothing(here: Market):
    # As when the process ends between the two last steps: file in its place, pages still there.
    here.get(START, START + 20 * HOUR)
    page = np.column_stack([getattr(here.trades, name)[:30].astype(float) for name in COLUMNS])
    page[:20, 1:] += 0.25
    label = Label("binanceusdm", UNIFIED, "trade", HOUR, HOUR, "base")
    SeriesFile.opened(here.path, label).keep(page, (START, START + 30 * HOUR))
    here.relay.asked.clear()
    assert here.get(START, START + 30 * HOUR)[0].new == 10
    assert here.asked() == []
    same(here.path, here.trades.slice(0, 30))
    assert [p.name for p in here.folder.iterdir()] == [here.path.name]


def test_a_lasting_refusal_is_not_tried_again(here: Market):
    for status, asked in ((451, 1), (403, 1), (503, 3)):
        here.relay.refuse["exchangeInfo"] = status
        client = here.client(attempts=3)
        with pytest.raises(DataError, match=f"the markets could not be had .* {status}"):
            here.get(client=client)
        assert client.requests == asked


# --- what cannot be had -------------------------------------------------------------------------


def test_files_that_hold_something_else_are_left_alone(here: Market):
    here.get(end=START + 10 * HOUR)
    before = here.path.read_bytes()
    other = here.folder / "BTCUSDT_4h.parquet"
    other.write_bytes(before)
    with pytest.raises(SettingError, match=r"BTCUSDT_4h.parquet is there and holds candles of 1h"):
        here.get(timeframe="4h")
    with pytest.raises(SettingError, match=r"holds data of binanceusdm, not binanceusdm-paper"):
        here.get(client=here.client(name="binanceusdm-paper"))
    spot = replace(here.trades.slice(0, 10), symbol="BTC/USDT", volume_unit="base")
    write_series(spot, here.path, force=True, about={"exchange": "binanceusdm", "covered": []})
    with pytest.raises(SettingError, match=r"holds data of BTC/USDT, not BTC/USDT:USDT"):
        here.get()
    here.path.write_bytes(before[:500])
    with pytest.raises(DataError, match=r"BTCUSDT_1h.parquet: .*damaged"):
        here.get()
    assert here.path.read_bytes() == before[:500]


def test_the_metadata_say_what_is_covered(here: Market):
    here.get(START, START + 10 * HOUR)
    about = read_about(here.path)
    assert about["covered"] == [[START, START + 10 * HOUR]]
    assert (about["exchange"], about["kind"], about["timeframe"]) == ("binanceusdm", "trade", "1h")
    assert json.dumps(about)


def test_tiers_need_a_key_and_keep_what_the_file_has(here: Market):
    made = point_at(open_exchange("binanceusdm", "wrong", "paper"), here.relay.url)
    with pytest.raises(SettingError, match=r"only with a valid API key .* LEVERPACK_API_KEY"):
        here.get(tiers=True, client=Client(made))
    here.folder.mkdir(exist_ok=True)
    path = here.folder / "tiers_2025-01-17.csv"
    path.write_text(
        "symbol,valid_from,tier,min_notional,max_notional,maintenance_margin_rate,max_leverage,"
        "maintenance_amount,liquidation_fee\nXUSDT,2025-01-17,1,0,,0.01,50,,0.01\n"
    )
    here.get(tiers=True)
    book = read_tiers(path)
    assert book.symbols == ("BTCUSDT", "XUSDT")
    assert book.at("XUSDT").caps == (float("inf"),)


# --- stretches of time --------------------------------------------------------------------------

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)


def held(spans: list[tuple[int, int]]) -> set[int]:
    return {t for start, end in spans for t in range(start, end)}


@given(SPANS, st.integers(0, 40), st.integers(0, 40))
def test_spans_are_sets_of_moments(spans: list[tuple[int, int]], start: int, end: int):
    found = joined(spans)
    assert held(found) == held(spans)
    assert all(a[1] < b[0] for a, b in pairwise(found))
    assert held(without((start, end), spans)) == set(range(start, end)) - held(spans)


@given(st.sets(st.integers(0, 19)), st.integers(0, 19), st.integers(1, 20))
def test_holes_are_what_no_candle_covers(opens: set[int], start: int, length: int):
    span = (start * 10, (start + length) * 10)
    ts = np.array(sorted(t * 10 for t in opens if span[0] <= t * 10 < span[1]), np.int64)
    lacking = set(range(start, start + length)) - {t // 10 for t in ts.tolist()}
    assert held(holes(ts, span, 10)) == {m for t in lacking for m in range(t * 10, t * 10 + 10)}


@given(st.integers(-50, 50), st.integers(0, 30), st.integers(-50, 50), st.integers(1, 12))
def test_marks_in_a_span(start: int, length: int, phase: int, step: int):
    marks = any((t - phase) % step == 0 for t in range(start, start + length))
    assert holds_mark((start, start + length), phase, step) == marks
