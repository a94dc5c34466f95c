"""What is wrong with a row, in words for a person."""

from __future__ import annotations

import numpy as np

from leverpack.candles import faults
from leverpack.candles.batch import Batch
from leverpack.candles.faults import Arranged
from leverpack.candles.parts import EARLIEST_MS, PRICES
from leverpack.candles.series import iso
from leverpack.candles.timeframes import DAY_MS
from leverpack.result import Floats, Ints


class Describer:
    """Words the faults of the rows of candles (``prices``) or of settlements (none)."""

    def __init__(
        self, batch: Batch, ts: Ints, plan: Arranged, prices: tuple[Floats, ...] = ()
    ) -> None:
        self._batch = batch
        self._ts = ts
        self._plan = plan
        self._prices = prices

    def __call__(self, row: int, code: int) -> str:
        """The fault ``code`` of a row as the start of a sentence."""
        if code == faults.BAD_TIME:
            return self._bad_time(row)
        if code in (faults.SAME, faults.CONTRADICTS):
            return self._twins(row, code)
        if not self._prices:
            column = "open" if "rate" not in self._batch.at(row)[0].table.columns else "rate"
            return f"the rate {self._batch.shown(column, row)!r} is not a number"
        return self._bad_price(row, code)

    def _bad_time(self, row: int) -> str:
        part, at = self._batch.at(row)
        if part.unreadable[at]:
            what = self._batch.shown("time", row)
            if part.table.columns.get("clock") is not None:
                what += " " + self._batch.shown("clock", row)
            return f"the time {what!r} cannot be read as a time"
        ms = int(self._ts[row])
        if ms < EARLIEST_MS:
            when = iso(ms) if ms > -60_000 * DAY_MS / 60 else "long ago"
            return f"the time {when} lies before {iso(EARLIEST_MS)[:4]}, when Bitcoin began"
        when = iso(ms) if ms < 100_000 * DAY_MS else "centuries away"
        return f"the time {when} lies in the future"

    def _twins(self, row: int, code: int) -> str:
        first = self._plan.twin(row)
        source, line = self._batch.place(first)
        where = f"line {line}"
        if source != self._batch.place(row)[0]:
            where += f" of {source}"
        when = iso(int(self._ts[row]))
        if not self._prices:
            return f"the settlement of {when} stands on {where} already, with another rate"
        sort = "equal" if code == faults.SAME else "different"
        return f"the time {when} stands on {where} already, with {sort} values"

    def _bad_price(self, row: int, code: int) -> str:
        values = dict(zip(PRICES, (float(p[row]) for p in self._prices), strict=True))
        if code == faults.LETTERS:
            columns = self._batch.at(row)[0].table.columns
            for what in PRICES:
                if columns.get(what) is not None and np.isnan(values[what]):
                    text = self._batch.shown(what, row)
                    if text != "None":
                        return f"the {what} {text!r} is not a number"
        if code == faults.MISSING:
            names = " and ".join(w for w, v in values.items() if np.isnan(v))
            return f"the {names} is missing"
        if code in (faults.NOT_FINITE, faults.NOT_POSITIVE):
            what, value = next((w, v) for w, v in values.items() if not (v > 0 and np.isfinite(v)))
            sort = "finite" if code == faults.NOT_FINITE else "above zero"
            return f"the {what} {value:g} is not {sort}"
        return _high_low_text(values)


def _high_low_text(v: dict[str, float]) -> str:
    if v["high"] < v["low"]:
        return f"the high {v['high']!r} is below the low {v['low']!r}"
    for what in ("open", "close"):
        if v[what] > v["high"]:
            return f"the {what} {v[what]!r} is above the high {v['high']!r}"
        if v[what] < v["low"]:
            return f"the {what} {v[what]!r} is below the low {v['low']!r}"
    return "high and low do not hold the candle"
