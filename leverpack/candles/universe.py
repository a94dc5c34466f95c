"""The universe of a set of candle files, and every public name of the universe in one place."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from leverpack.candles.faults import OnFault
from leverpack.candles.markets import universe_from_exchange
from leverpack.candles.measures import SymbolMeasures, measure, split_symbol
from leverpack.candles.reader import read_candles
from leverpack.candles.selection import RANK_BY, Universe, UniverseRules, reason_of, select
from leverpack.candles.series import Candles
from leverpack.candles.timeframes import DAY_MS, timeframe_name
from leverpack.errors import DataError
from leverpack.margin.tiers import plain_symbol

__all__ = [
    "RANK_BY", "SymbolMeasures", "Universe", "UniverseRules", "measure", "select", "split_symbol",
    "universe_from_exchange", "universe_from_files",
]  # fmt: skip

# Files that hold prices nobody traded at, or rates: their columns look like candles.
_NOT_TRADES = re.compile(
    r"(?:^|[_\-. ])"
    r"(mark(?:oc|price)?|index_?price|premium(?:_?index)?|funding(?:_?rates?)?)(?:klines?)?"
    r"(?=$|[_\-. ])",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?:^|[_\-. ])([a-z0-9]{2,15}?)([_\-]?)(fdusd|usdt|usdc|busd|usd)(?=$|[_\-. ])", re.IGNORECASE
)


def universe_from_files(
    sources: str | Path | Iterable[str | Path],
    rules: UniverseRules | None = None,
    *,
    now: int | None = None,
    on_fault: OnFault = "error",
) -> Universe:
    """Measure, choose and rank the symbols of candle files.

    ``sources`` is a folder (all files right in it), a glob, a file, or several of them. A file
    that cannot be used is refused with its reason, and so are files that by their name hold
    mark prices, index prices, premiums or funding. Of two files of one symbol the finer
    timeframe counts, then the later one, and a note says so; a file without any volume counts
    only where there is no other. ``now`` and ``on_fault`` are those of select and read_candles.

    Raises DataError for a source that matches no file, SettingError for impossible rules.
    """
    (rules := rules or UniverseRules()).validate()
    refused: dict[str, str] = {}
    by_symbol: dict[str, list[SymbolMeasures]] = {}
    for path in _files(sources):
        try:
            candles = _traded(path, on_fault)
            found = measure(replace(candles, symbol=candles.symbol or _symbol(path)), now)
        except DataError as fault:
            refused[str(path)] = reason_of(fault)
            continue
        by_symbol.setdefault(plain_symbol(found.symbol), []).append(found)
    kept, notes = _one_each(by_symbol)
    universe = select(kept, rules, now=now)
    universe.refused, universe.notes = refused, notes
    return universe


def _files(sources: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files of folders, globs and paths, each once, in the order of their names."""
    found: dict[Path, Path] = {}
    for source in [sources] if isinstance(sources, (str, Path)) else sources:
        path = Path(source)
        if path.is_dir():
            some = [p for p in path.glob("*") if p.is_file() and not p.name.startswith(".")]
        elif path.is_file():
            some = [path]
        else:
            some = [p for p in map(Path, glob.glob(str(source), recursive=True)) if p.is_file()]
        if not some:
            sort = "the folder holds no files" if path.is_dir() else "no such folder or file"
            raise DataError(f"{sort}; name a folder, a file or a glob", source=str(source))
        found.update((p.resolve(), p) for p in some)
    return sorted(found.values())


def _traded(path: Path, on_fault: OnFault) -> Candles:
    """The candles of a file, unless its name says that nobody traded at its prices."""
    name = _NOT_TRADES.search(path.name)
    sort = f"named {name[1]}: it holds no prices that were traded at" if name else ""
    try:
        candles = read_candles(path, on_fault=on_fault)
    except DataError as fault:
        if not sort:
            raise
        raise DataError(sort, source=str(path)) from fault
    # A file of trades with mark or funding columns beside them may say so in its name too.
    if sort and not candles.volume.any():
        raise DataError(sort, source=str(path))
    return candles


def _symbol(path: Path) -> str:
    """The symbol in a file name, as in BTC_USDT-1h.json; the bare name where there is none."""
    stem = path.name.split(".")[0]
    named = _NAMED.search(stem)
    if named is None:
        return stem
    return f"{named[1]}{'/' if named[2] else ''}{named[3]}".upper()


def _one_each(
    by_symbol: dict[str, list[SymbolMeasures]],
) -> tuple[list[SymbolMeasures], list[str]]:
    """The measures that count for each symbol, and a note where there was a choice."""

    def key(m: SymbolMeasures) -> tuple[bool, int, int, int, str]:
        # One candle alone shows no timeframe (0), which must not pass for the finest.
        step = m.timeframe_ms or DAY_MS
        return not m.quote_volume, step, -m.last_ms, -m.days, m.source

    kept, notes = [], []
    for symbol in sorted(by_symbol):
        best, *others = sorted(by_symbol[symbol], key=key)
        kept.append(best)
        if others:
            passed_over = ", ".join(_file_of(m) for m in others)
            notes.append(f"{best.symbol}: {_file_of(best)} counts, not {passed_over}")
    return kept, notes


def _file_of(m: SymbolMeasures) -> str:
    step = timeframe_name(m.timeframe_ms) if m.timeframe_ms else "one candle"
    return f"{Path(m.source).name} ({step})"
