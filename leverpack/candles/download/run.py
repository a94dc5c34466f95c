"""One download from the request to the files: what is asked for, checked, fetched and told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leverpack.candles.download.client import Client
from leverpack.candles.download.pages import Feed, candle_feed, fetch_missing, funding_feed
from leverpack.candles.download.parts import Label, SeriesFile
from leverpack.candles.download.spans import Span
from leverpack.candles.download.tiers import download_tiers
from leverpack.candles.series import iso
from leverpack.candles.timeframes import HOUR_MS, MINUTE_MS, WEEK_MS, timeframe_ms
from leverpack.errors import SettingError
from leverpack.margin.tiers import plain_symbol

# The longest usual interval; a settlement may come some seconds late.
_FUNDING_REACH = 8 * HOUR_MS + MINUTE_MS
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to download: unified symbols, and rows from start_ms to end_ms (UTC, end excluded).

    ``end_ms`` None is the exchange's now. ``page`` is the most candles to ask for at once
    (None: as many as the exchange gives).
    """

    symbols: tuple[str, ...]
    timeframe: str
    start_ms: int
    end_ms: int | None
    folder: Path
    mark: bool = False
    funding: bool = False
    tiers: bool = False
    page: int | None = None


@dataclass(slots=True)
class Downloaded:
    """One file after the download: rows in it, how many of them are new, holes and remarks."""

    path: Path
    rows: int = 0
    new: int = 0
    span: tuple[int, int] | None = None  # epoch ms UTC of the first and the last row
    gaps: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def download(client: Client, wish: Wish, told: Told | None = None) -> list[Downloaded]:
    """Bring the files of a wish up to it; what they hold already is not asked for.

    ``told`` hears (file name, milliseconds done, of how many). Only closed candles, by the
    exchange's clock. Raises SettingError for what cannot be wished, DataError where exchange or
    network fail; what was fetched up to there is kept, and the same wish goes on from it.
    """
    told = told or (lambda name, done, total: None)
    step = _checked(client, wish)
    _ready(wish.folder)
    client.load()
    markets = {s: client.market(s) for s in wish.symbols}
    now = client.now()
    found = []
    for symbol, market in markets.items():
        for feed, path in _feeds(client, wish, symbol, market, step):
            found.append(_series(feed, path, wish, now, told))
    if wish.tiers:
        day = datetime.fromtimestamp(now / 1000, UTC).date()
        path = wish.folder / f"tiers_{day}.csv"
        new = download_tiers(client, list(wish.symbols), path, day)
        found.append(Downloaded(path, notes=[] if new else ["was there already"]))
    return found


def _checked(client: Client, wish: Wish) -> int:
    """The candle length (ms) of a wish that can be fulfilled; SettingError otherwise."""
    if not wish.symbols:
        raise SettingError("--symbols names none; write BTC/USDT:USDT")
    if wish.page is not None and wish.page < 1:
        raise SettingError(f"a page must hold 1 candle or more, not {wish.page}")
    step = timeframe_ms(wish.timeframe)
    client.check_timeframe(wish.timeframe)
    if step > WEEK_MS:
        raise SettingError(
            f"candles of {wish.timeframe} have no one length; download 1d and join them"
        )
    if wish.end_ms is not None and wish.end_ms <= wish.start_ms:
        raise SettingError(f"--from {iso(wish.start_ms)} lies after --to; swap them")
    client.check_can("fetchOHLCV", "candles", "")
    if wish.mark:
        client.check_can("fetchMarkOHLCV", "mark candles", "--mark")
    if wish.funding:
        client.check_can("fetchFundingRateHistory", "funding", "--funding")
    return step


def _ready(folder: Path) -> None:
    """Make the folder; SettingError, before anything is asked, where it cannot be written into."""
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"--folder {folder}: this is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SettingError(
            f"--folder {folder}: cannot be made ({fault.strerror or fault}); name another"
        ) from fault
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"--folder {folder}: cannot be written into; name another")


def _feeds(
    client: Client, wish: Wish, symbol: str, market: dict[str, Any], step: int
) -> list[tuple[Feed, Path]]:
    """Every series of one symbol that is wished for, and its file."""
    name, unit = _file_name(symbol), _volume_unit(market)
    if (wish.mark or wish.funding) and not market.get("swap"):
        option = "--mark" if wish.mark else "--funding"
        raise SettingError(f"{symbol} is no perpetual contract; leave {option} out")
    trade = Label(client.name, symbol, "trade", step, step, unit)
    feeds = [
        (candle_feed(client, symbol, wish.timeframe, trade, wish.page), f"{name}_{wish.timeframe}")
    ]
    if wish.mark:
        mark = Label(client.name, symbol, "mark", step, step)
        feeds.append((candle_feed(client, symbol, wish.timeframe, mark, wish.page),
                      f"{name}_mark_{wish.timeframe}"))  # fmt: skip
    if wish.funding:
        # Some exchanges settle every hour, none more often.
        funding = Label(client.name, symbol, "funding", HOUR_MS, _FUNDING_REACH)
        feeds.append((funding_feed(client, symbol, funding), f"{name}_funding"))
    return [(feed, wish.folder / f"{stem}.parquet") for feed, stem in feeds]


def _file_name(symbol: str) -> str:
    """BTCUSDT for BTC/USDT:USDT; a contract that expires keeps its date."""
    expiry = symbol.partition(":")[2].partition("-")[2]
    return plain_symbol(symbol) + (f"-{expiry}" if expiry else "")


def _volume_unit(market: dict[str, Any]) -> str:
    """In what ccxt's volume is counted, where that is certain."""
    if market.get("spot") or (market.get("linear") and market.get("contractSize") == 1):
        return "base"
    return "unknown"


def _series(feed: Feed, path: Path, wish: Wish, now: int, told: Told) -> Downloaded:
    # A candle is closed when its end is no later than now.
    closed = now + 1 - (0 if feed.label.kind == "funding" else feed.label.step)
    end = closed if wish.end_ms is None else min(wish.end_ms, closed)
    if end <= wish.start_ms:
        raise SettingError(
            f"--from {iso(wish.start_ms)}: no candle has closed since; it is {iso(now)} there"
        )
    file = SeriesFile.opened(path, feed.label)
    fetch_missing(
        feed, file, (wish.start_ms, end), now, lambda done, of: told(path.name, done, of)
    )
    file.finish()
    return _told(file, feed, (wish.start_ms, end))


def _told(file: SeriesFile, feed: Feed, wanted: Span) -> Downloaded:
    """What to tell of a finished file."""
    ts = file.rows[:, 0]
    found = Downloaded(file.path, len(ts), len(ts) - file.had)
    if not len(ts):
        found.notes.append(f"the exchange has none from {iso(wanted[0])} on; no file is written")
        return found
    found.span = int(ts[0]), int(ts[-1])
    found.gaps = [g for g in file.gaps() if g[0] < wanted[1] and g[1] > wanted[0]]
    if found.span[0] - wanted[0] >= feed.label.reach:
        found.notes.append(f"begins at {iso(found.span[0])}: the exchange has none before")
    if wanted[1] - found.span[1] > 2 * feed.label.reach:
        found.notes.append(f"ends at {iso(found.span[1])}: the exchange has none after")
    return found
