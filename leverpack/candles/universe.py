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

# One missing month between archives is a gap; a longer hole makes two series.
_LONGEST_HOLE_MS = 31 * DAY_MS


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
    mark prices, index prices, premiums or funding. Files of one symbol and timeframe that
    continue one another, such as monthly archives, are joined into one series. Of others the
    finer timeframe counts, then the later one; a file without any volume counts only where
    there is no other. Notes say all of this, and where a volume is hardly in base units.
    ``now`` and ``on_fault`` are those of select and read_candles.

    Raises DataError for a source that matches no file, SettingError for impossible rules.
    """
    (rules := rules or UniverseRules()).validate()
    refused: dict[str, str] = {}
    odd_volume: set[str] = set()
    by_symbol: dict[str, list[SymbolMeasures]] = {}
    for path in _files(sources):
        try:
            candles = _traded(path, on_fault)
            found = measure(replace(candles, symbol=candles.symbol or _symbol(path)), now)
        except DataError as fault:
            refused[str(path)] = reason_of(fault)
            continue
        if candles.volume_unit == "contracts" or _doubted(candles):
            odd_volume.add(candles.source)
        by_symbol.setdefault(plain_symbol(found.symbol), []).append(found)
    kept, notes = [], []
    for symbol in sorted(by_symbol):
        series, *passed_over = _series(by_symbol[symbol])
        one, said = _joined(series, on_fault, now)
        kept.append(one)
        notes += said
        if passed_over:
            others = ", ".join(_file_of(m) for part in passed_over for m in part)
            counts = ", ".join(_file_of(m) for m in series)
            notes.append(f"{one.symbol}: {counts} counts, not {others}")
        if odd_volume & {m.source for m in series}:
            notes.append(f"{one.symbol}: the volume is hardly in base units, so volume/day is off")
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


def _doubted(candles: Candles) -> bool:
    return any(f.code == "volume_unit" for f in candles.findings)


def _series(measures: list[SymbolMeasures]) -> list[list[SymbolMeasures]]:
    """The files of one symbol, those that continue one another together; what counts is first."""

    def key(m: SymbolMeasures) -> tuple[bool, int, int, int, str]:
        # One candle alone shows no timeframe (0), which must not pass for the finest.
        step = m.timeframe_ms or DAY_MS
        return not m.quote_volume, step, -m.last_ms, -m.days, m.source

    groups: dict[tuple[bool, int], list[SymbolMeasures]] = {}
    for m in sorted(measures, key=lambda m: (m.first_ms, m.source)):
        silent = m.days > 0 and not m.quote_volume  # less than a day shows no volume a day
        groups.setdefault((silent, m.timeframe_ms), []).append(m)
    series: list[list[SymbolMeasures]] = []
    for group in groups.values():
        end = 0
        for i, m in enumerate(group):
            goes_on = i > 0 and m.timeframe_ms and m.first_ms <= end + _LONGEST_HOLE_MS
            if goes_on:
                series[-1].append(m)
            else:
                series.append([m])
            end = max(end, m.last_ms) if goes_on else m.last_ms
    return sorted(series, key=lambda part: min(map(key, part)))


def _joined(
    series: list[SymbolMeasures], on_fault: OnFault, now: int | None
) -> tuple[SymbolMeasures, list[str]]:
    """The measures over files that continue one another, and a note that says so."""
    last = max(series, key=lambda m: (m.last_ms, m.days))
    if len(series) == 1:
        return last, []
    try:
        candles = read_candles([m.source for m in series], on_fault=on_fault)
        found = measure(replace(candles, symbol=last.symbol), now)
    except DataError as fault:
        return last, [f"{last.symbol}: {_file_of(last)} counts alone: {reason_of(fault)}"]
    names = f"{_file_of(series[0])} to {_file_of(series[-1])}"
    return found, [f"{last.symbol}: {len(series)} files joined, {names}"]


def _file_of(m: SymbolMeasures) -> str:
    step = timeframe_name(m.timeframe_ms) if m.timeframe_ms else "one candle"
    return f"{Path(m.source).name} ({step})"
