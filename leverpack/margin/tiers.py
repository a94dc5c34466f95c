"""Dated tables of maintenance tiers: looked up by notional, picked by the date of the backtest."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib.resources import as_file, files
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from leverpack.errors import DataError, SettingError
from leverpack.margin.brackets import (
    maintenance_margin,
    max_leverage_for_collateral,
    max_leverage_for_notional,
    next_maintenance_amount,
    tier_index,
)
from leverpack.margin.liquidation import liquidation_price
from leverpack.margin.tierfile import UNDATED, TierRow, ccxt_rows, read_csv_rows, read_json_rows

__all__ = [
    "DEFAULT_LIQUIDATION_FEE",
    "TierBook",
    "TierTable",
    "builtin_tiers",
    "maintenance_margin",
    "max_leverage_for_collateral",
    "max_leverage_for_notional",
    "next_maintenance_amount",
    "plain_symbol",
    "read_tiers",
    "tier_index",
]

DEFAULT_LIQUIDATION_FEE = 0.0125  # Binance exchangeInfo liquidationFee of BTCUSDT
_CUM_TOLERANCE = 0.01  # venues publish the maintenance amount rounded to the cent


@dataclass(frozen=True, slots=True)
class TierTable:
    """One symbol's tiers from ``valid_from`` on; columns of one length, in rising order.

    ``floors`` and ``caps`` bound the notional (quote), ``mmrs`` are fractions, ``cums`` the
    maintenance amounts (quote), ``liquidation_fee`` the venue's clearance fee as a fraction of
    the notional. Raises SettingError when the columns contradict each other.
    """

    symbol: str
    valid_from: date
    floors: tuple[float, ...]
    caps: tuple[float, ...]
    mmrs: tuple[float, ...]
    cums: tuple[float, ...]
    max_leverages: tuple[float, ...]
    liquidation_fee: float

    def __post_init__(self) -> None:
        columns = (self.floors, self.caps, self.mmrs, self.cums, self.max_leverages)
        if not self.caps or len({len(c) for c in columns}) != 1:
            raise SettingError(f"tiers of {self.symbol}: the columns differ in length")
        for i in range(len(self.caps)):
            fault = _tier_fault(self, i)
            if fault:
                raise SettingError(f"tiers of {self.symbol}, tier {i + 1}: {fault}")
        if not 0.0 <= self.liquidation_fee < 1.0:
            raise SettingError(
                f"tiers of {self.symbol}: liquidation_fee must be a fraction from 0 to below 1, "
                f"not {self.liquidation_fee!r}"
            )

    @classmethod
    def flat(
        cls,
        symbol: str,
        mmr: float,
        max_leverage: float,
        liquidation_fee: float = DEFAULT_LIQUIDATION_FEE,
    ) -> TierTable:
        """An assumed table of one tier without a cap."""
        return cls(
            symbol, UNDATED, (0.0,), (math.inf,), (mmr,), (0.0,), (max_leverage,), liquidation_fee
        )

    def with_liquidation_fee(self, liquidation_fee: float) -> TierTable:
        """The same tiers with another clearance fee (fraction of the notional)."""
        return replace(self, liquidation_fee=liquidation_fee)

    def tier(self, notional: float) -> int:
        """The tier's number, counted from 1 as venues do, for a notional in quote currency."""
        return tier_index(notional, self.caps) + 1

    def mmr(self, notional: float) -> float:
        """Maintenance margin rate (fraction) of the tier of ``notional``."""
        return self.mmrs[tier_index(notional, self.caps)]

    def maintenance_amount(self, notional: float) -> float:
        """Maintenance amount ``cum`` (quote) of the tier of ``notional``."""
        return self.cums[tier_index(notional, self.caps)]

    def maintenance_margin(self, notional: float) -> float:
        """Maintenance margin (quote) of a position of ``notional`` (quote)."""
        return maintenance_margin(notional, self.caps, self.mmrs, self.cums)

    def max_leverage(self, notional: float) -> float:
        """Largest leverage for ``notional`` (quote); 0.0 when it is over the last tier's cap."""
        return max_leverage_for_notional(notional, self.caps, self.max_leverages)

    def max_leverage_for_collateral(self, collateral: float) -> float:
        """Largest leverage at which ``collateral`` (quote) can be used in full.

        Raises SettingError when the amount is over every tier's cap.
        """
        leverage = max_leverage_for_collateral(collateral, self.caps, self.max_leverages)
        if leverage < 0.0:
            raise SettingError(
                f"collateral {collateral:,.2f} is over the largest notional of "
                f"{self.caps[-1]:,.0f} that {self.symbol} allows; use less"
            )
        return leverage

    def liquidation_price(
        self,
        side: float,
        size: float,
        entry: float,
        wallet: float,
        close_fee: float = 0.0,
        mm_others: float = 0.0,
        upnl_others: float = 0.0,
    ) -> float:
        """Liquidation price with these tiers; see :mod:`leverpack.margin.liquidation`."""
        return liquidation_price(
            side, size, entry, wallet, self.caps, self.mmrs, self.cums,
            close_fee, mm_others, upnl_others,
        )  # fmt: skip


def _tier_fault(table: TierTable, i: int) -> str:
    """What is wrong with tier ``i`` (from 0), in words; empty when nothing is."""
    floor, cap, mmr, cum = table.floors[i], table.caps[i], table.mmrs[i], table.cums[i]
    leverage = table.max_leverages[i]
    if not cap > floor:
        return f"the cap {cap:g} is not above the floor {floor:g}"
    if not 0.0 <= mmr < 1.0:
        return f"the maintenance margin rate {mmr!r} is not a fraction from 0 to below 1"
    if not leverage > 0.0:
        return f"the largest leverage {leverage!r} is not positive"
    if i == 0:
        if floor != 0.0:
            return f"the first floor is {floor:g} and must be 0"
        return "" if cum == 0.0 else f"the first maintenance amount is {cum:g} and must be 0"
    if floor != table.caps[i - 1]:
        return f"the floor {floor:g} is not the cap {table.caps[i - 1]:g} of the tier below"
    if mmr < table.mmrs[i - 1]:
        return f"the maintenance margin rate {mmr:g} is below the {table.mmrs[i - 1]:g} before it"
    if leverage > table.max_leverages[i - 1]:
        return f"leverage {leverage:g} is above the {table.max_leverages[i - 1]:g} before it"
    due = next_maintenance_amount(table.cums[i - 1], floor, table.mmrs[i - 1], mmr)
    if not abs(cum - due) <= max(_CUM_TOLERANCE, 1e-6 * due):
        return f"the maintenance amount is {cum:g} where the tier below leads to {due:g}"
    return ""


class TierBook:
    """Tier tables of many symbols, each with the date from which it is valid.

    Symbols are looked up forgivingly: ``BTCUSDT``, ``BTC/USDT`` and ``BTC/USDT:USDT`` are one.
    Raises SettingError when two tables of a symbol have the same date.
    """

    __slots__ = ("_tables",)

    def __init__(self, tables: Iterable[TierTable]) -> None:
        ordered = sorted(tables, key=lambda t: (plain_symbol(t.symbol), t.valid_from))
        self._tables: dict[str, tuple[TierTable, ...]] = {}
        for key, group in groupby(ordered, key=lambda t: plain_symbol(t.symbol)):
            dated = tuple(group)
            for older, newer in pairwise(dated):
                if older.valid_from == newer.valid_from:
                    raise SettingError(f"two tier tables of {key} are dated {newer.valid_from}")
            self._tables[key] = dated

    @classmethod
    def from_ccxt(
        cls,
        mapping: Mapping[str, Any],
        valid_from: date = UNDATED,
        source: str = "leverage tiers",
    ) -> TierBook:
        """A book of one date from what ccxt's ``fetch_leverage_tiers`` returns, else DataError."""
        return cls(_tables(ccxt_rows(mapping, valid_from, source), source))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that have a table, in plain spelling (``BTCUSDT``)."""
        return tuple(self._tables)

    def tables(self, symbol: str) -> tuple[TierTable, ...]:
        """All tables of one symbol, oldest first; SettingError when there is none."""
        try:
            return self._tables[plain_symbol(symbol)]
        except KeyError:
            raise SettingError(
                f"no tier table for symbol {symbol!r}; known: {', '.join(self._tables) or 'none'}"
            ) from None

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and plain_symbol(symbol) in self._tables

    def at(self, symbol: str, when: date | None = None) -> TierTable:
        """The table valid at ``when`` (UTC date): the newest that starts no later.

        Without a date the newest table; before all dates the earliest, which :meth:`covers`
        tells apart. Raises SettingError for an unknown symbol.
        """
        tables = self.tables(symbol)
        if when is None:
            return tables[-1]
        when = _day(when)
        return tables[max(0, bisect_right(tables, when, key=lambda t: t.valid_from) - 1)]

    def covers(self, symbol: str, when: date) -> bool:
        """Whether a table of ``symbol`` was already valid at ``when``."""
        return symbol in self and self.tables(symbol)[0].valid_from <= _day(when)

    def next_change(self, symbol: str, when: date) -> date | None:
        """The next date after ``when`` at which another table of ``symbol`` becomes valid."""
        later = (t.valid_from for t in self.tables(symbol) if t.valid_from > _day(when))
        return next(later, None)


def _day(when: date) -> date:
    # A datetime is a date to the type checker, but does not compare with one.
    return when.date() if isinstance(when, datetime) else when


def plain_symbol(symbol: str) -> str:
    """A symbol without its separators, settlement part and contract suffix: ``BTCUSDT``.

    >>> [plain_symbol(s) for s in ("BTC/USDT:USDT", "btc-usdt", "BTCUSDT.P", "BTC-USDT-SWAP")]
    ['BTCUSDT', 'BTCUSDT', 'BTCUSDT', 'BTCUSDT']
    """
    text = symbol.strip().upper().split("#")[0].split(":")[0]
    for suffix in (".P", "-SWAP", "-PERP", "_PERP"):
        text = text.removesuffix(suffix)
    return text.replace("/", "").replace("-", "").replace("_", "")


def read_tiers(path: str | Path) -> TierBook:
    """The tier book of a file: the project's CSV form, or JSON in ccxt's shape (``.json``).

    Raises DataError with the file and, for a CSV, the line.
    """
    path = Path(path)
    rows = read_json_rows(path) if path.suffix.lower() == ".json" else read_csv_rows(path)
    return TierBook(_tables(rows, str(path)))


def builtin_tiers() -> TierBook:
    """The small tier book that comes with the package; its file says what it holds."""
    with as_file(files("leverpack.margin").joinpath("tiers.csv")) as path:
        return read_tiers(path)


def _tables(rows: Iterable[TierRow], source: str) -> list[TierTable]:
    def key(row: TierRow) -> tuple[str, date]:
        return plain_symbol(row.symbol), row.valid_from

    # sorted is stable: tiers keep the order in which the file lists them
    return [_table(list(group), source) for _, group in groupby(sorted(rows, key=key), key=key)]


def _table(rows: list[TierRow], source: str) -> TierTable:
    cums: list[float] = []
    for i, row in enumerate(rows):
        due = 0.0
        if i:
            due = next_maintenance_amount(cums[-1], row.floor, rows[i - 1].mmr, row.mmr)
        cums.append(due if row.cum is None else row.cum)
    fee = rows[0].liquidation_fee
    for row in rows:
        if row.liquidation_fee != fee:
            raise DataError(
                f"liquidation_fee of {row.symbol} differs between its tiers",
                source=source,
                line=row.line,
            )
    try:
        return TierTable(
            symbol=plain_symbol(rows[0].symbol),
            valid_from=rows[0].valid_from,
            floors=tuple(r.floor for r in rows),
            caps=tuple(r.cap for r in rows),
            mmrs=tuple(r.mmr for r in rows),
            cums=tuple(cums),
            max_leverages=tuple(r.max_leverage for r in rows),
            liquidation_fee=DEFAULT_LIQUIDATION_FEE if fee is None else fee,
        )
    except SettingError as error:
        raise DataError(str(error), source=source, line=_line_of(error, rows)) from error


def _line_of(error: SettingError, rows: list[TierRow]) -> int | None:
    """The line of the tier that the message names, or of the table's first tier."""
    for i in range(len(rows), 0, -1):
        if f", tier {i}:" in str(error):
            return rows[i - 1].line
    return rows[0].line
