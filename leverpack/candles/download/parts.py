"""One downloaded file and the pages on their way into it: each is on the disk whole or not at all.

A page is kept beside the file, named by the time it covers, until all pages of a run are there
and become one file. The file's metadata say what time it covers, holes of the exchange included,
so that nothing is asked for twice.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles.download.client import Rows, first_of_each
from leverpack.candles.download.spans import Span, holes, joined, without
from leverpack.candles.look import find_gaps
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, Funding
from leverpack.candles.store import read_about, write_series
from leverpack.candles.timeframes import timeframe_name
from leverpack.errors import DataError, SettingError
from leverpack.files import put_file
from leverpack.margin.tiers import plain_symbol
from leverpack.result import Ints

_NAME = re.compile(r"(-?\d+)_(-?\d+)\.npy")


@dataclass(frozen=True, slots=True)
class Label:
    """What a file holds: of which exchange, symbol, kind ("trade", "mark", "funding"), length.

    ``reach`` is how long (ms) one row covers: the candle, or the longest funding interval.
    """

    exchange: str
    symbol: str
    kind: str
    step: int
    reach: int
    volume_unit: str = "unknown"

    @property
    def width(self) -> int:
        """Columns of a page."""
        return 2 if self.kind == "funding" else 6


@dataclass(slots=True)
class SeriesFile:
    """The Parquet file of one series at ``path``, with the pages kept beside it."""

    path: Path
    label: Label
    rows: Rows
    covered: list[Span]
    had: int
    _kept: list[Rows] = field(default_factory=list)
    _new: bool = False

    @classmethod
    def opened(cls, path: Path, label: Label) -> SeriesFile:
        """What is there already; SettingError where the file holds something else."""
        rows, covered = np.zeros((0, label.width)), list[Span]()
        if path.exists():
            rows, covered = _read(path, label)
        found = cls(path, label, rows, covered, len(rows))
        found._take_up()
        return found

    @property
    def pages(self) -> Path:
        """Where the pages are kept: of another exchange or symbol elsewhere."""
        slug = re.sub(r"[^\w.-]+", "-", f"{self.label.exchange}.{self.label.symbol}")
        return self.path.with_name(f".{self.path.stem}.{slug}.pages")

    def _take_up(self) -> None:
        """Take up the pages that an interrupted download has left."""
        for page in sorted(self.pages.glob("*.npy")) if self.pages.is_dir() else []:
            named = _NAME.fullmatch(page.name)
            if named is None:
                continue
            try:
                rows = np.load(page, allow_pickle=False)
                rows = rows.astype(np.float64).reshape(-1, self.label.width)
            except (OSError, ValueError, EOFError):
                continue  # not ours, or the disk's fault: it is asked for again
            self._add(rows, (int(named[1]), int(named[2])))

    def keep(self, rows: Rows, span: Span) -> None:
        """Put a page on the disk: all that the exchange has of ``span``."""
        try:
            self.pages.mkdir(exist_ok=True)
            put_file(self.pages / f"{span[0]}_{span[1]}.npy", lambda p: _save(rows, p),
                     durable=True)  # fmt: skip
        except OSError as fault:
            raise _unwritable(self.pages, fault) from fault
        self._add(rows, span)

    def _add(self, rows: Rows, span: Span) -> None:
        self._kept.append(rows)
        self.covered = joined([*self.covered, span])
        self._new = True

    def phase(self) -> int | None:
        """An open time of the series: the others lie whole steps from it. None: not known yet."""
        for rows in (self.rows, *self._kept):
            if len(rows):
                return int(rows[0, 0])
        return None

    def finish(self) -> None:
        """Join file and pages into the file, then let the pages go."""
        if not self._new:
            return
        # In this order: what was there first stays as it was.
        pages = sorted(self._kept, key=lambda rows: rows[0, 0] if len(rows) else 0.0)
        self.rows, self._kept = first_of_each(np.concatenate([self.rows, *pages])), []
        if not len(self.rows):
            return  # the pages stay: they say that the exchange has nothing
        about = {"exchange": self.label.exchange, "covered": self.covered}
        beside = self.pages / "whole.parquet"  # a killed process leaves nothing beside the file
        try:
            self.pages.mkdir(exist_ok=True)
            write_series(self.series(), beside, force=True, about=about)
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as fault:
            raise _unwritable(self.path, fault) from fault
        shutil.rmtree(self.pages, ignore_errors=True)
        self._new = False

    def series(self) -> Candles | Funding:
        """The finished rows as candles or funding."""
        label, columns = self.label, [np.ascontiguousarray(c) for c in self.rows.T]
        ts = columns[0].astype(np.int64)
        if label.kind == "funding":
            return Funding(ts, columns[1], label.exchange, label.symbol)
        start, high, low, close, volume = columns[1:]
        return Candles(
            ts, start, high, low, close, volume, label.step, label.symbol, label.kind,
            label.exchange, volume_unit=label.volume_unit,
        )  # fmt: skip

    def gaps(self) -> list[Span]:
        """Where the exchange has nothing between the first row and the last."""
        ts = self.rows[:, 0].astype(np.int64)
        if self.label.kind != "funding":
            step = self.label.step
            return [(start, start + n * step) for start, n in find_gaps(ts, step)]
        return holes(ts, (int(ts[0]), int(ts[-1])), self.label.reach) if len(ts) else []


def _save(rows: Rows, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, rows, allow_pickle=False)


def _read(path: Path, label: Label) -> tuple[Rows, list[Span]]:
    """Rows and covered time of a file that is there."""
    about = read_about(path)
    series: Candles | Funding
    if label.kind == "funding":
        series = read_funding(path)
        columns = [series.rate]
    else:
        series = read_candles(path, kind=label.kind)
        columns = [series.open, series.high, series.low, series.close]
        columns += [series.volume if label.kind == "trade" else np.zeros(len(series))]
        there = about.get("timeframe") or timeframe_name(series.timeframe_ms or label.step)
        _refuse_other(path, "candles of", timeframe_name(label.step), str(there))
        if label.kind == "trade":
            _refuse_other(path, "volume in units:", label.volume_unit, series.volume_unit)
    exchange = about.get("exchange")
    _refuse_other(path, "data of", label.exchange, str(exchange or label.exchange))
    # Only a downloaded file is sure to spell its symbol as the exchange does.
    spell = str if exchange else plain_symbol
    _refuse_other(path, "data of", spell(label.symbol), spell(series.symbol or label.symbol))
    rows = np.column_stack([series.ts.astype(np.float64), *columns])
    return rows, _covered(about, series.ts, label, path)


def _refuse_other(path: Path, what: str, wanted: str, there: str) -> None:
    if wanted != there:
        raise SettingError(
            f"{path} is there and holds {what} {there}, not {wanted}; choose another --folder"
        )


def _covered(about: Mapping[str, Any], ts: Ints, label: Label, path: Path) -> list[Span]:
    """The time that a file covers; without its word for it, what its rows cover."""
    said = about.get("covered")
    if said is not None:
        try:
            return joined((int(start), int(end)) for start, end in said)
        except (TypeError, ValueError) as fault:
            raise DataError("the metadata are damaged; remove it", source=str(path)) from fault
    first, last = int(ts[0]), int(ts[-1])
    end = last + (1 if label.kind == "funding" else label.step)
    return without((first, end), holes(ts, (first, last + 1), label.reach))


def _unwritable(path: Path, fault: OSError) -> SettingError:
    return SettingError(f"{path}: cannot be written ({fault.strerror or fault})")
