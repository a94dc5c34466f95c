"""Tier rows out of a file: the project's own CSV form, or a JSON dump of ccxt's leverage tiers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from leverpack.errors import DataError

UNDATED = date(1970, 1, 1)  # valid_from of tables whose source states no date
COLUMNS = (
    "symbol",
    "valid_from",
    "tier",
    "min_notional",
    "max_notional",
    "maintenance_margin_rate",
    "max_leverage",
    "maintenance_amount",
    "liquidation_fee",
)
# ccxt's unified names first, then those of its flat exports.
_CCXT_NAMES = {
    "floor": ("minNotional", "min_notional"),
    "cap": ("maxNotional", "max_notional"),
    "mmr": ("maintenanceMarginRate", "maint_margin_rate", "maintenance_margin_rate"),
    "max_leverage": ("maxLeverage", "max_leverage"),
    "cum": ("cum", "maintenance_amount"),
}


@dataclass(frozen=True, slots=True)
class TierRow:
    """One tier as written in its source; ``cum`` is None where the source leaves it out."""

    symbol: str
    valid_from: date
    floor: float
    cap: float
    mmr: float
    max_leverage: float
    cum: float | None
    liquidation_fee: float | None
    line: int | None = None


def read_csv_rows(path: Path) -> list[TierRow]:
    """The rows of a tier CSV (columns as in ``COLUMNS``; lines that start with # are comments).

    ``maintenance_amount`` and ``liquidation_fee`` may be empty. Raises DataError with the line.
    """
    source = str(path)
    with _open(path) as lines:
        numbered = [
            (number, line)
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
    if len(numbered) < 2:
        raise DataError("the tier file has no rows", source=source)
    header = [name.strip() for name in next(csv.reader([numbered[0][1]]))]
    lacking = [name for name in COLUMNS if name not in header and name != "tier"]
    if lacking:
        raise DataError(
            f"column {lacking[0]} is missing; the columns are {', '.join(COLUMNS)}",
            source=source,
            line=numbered[0][0],
        )
    rows = []
    for number, line in numbered[1:]:
        cells = next(csv.reader([line]))
        if len(cells) != len(header):
            raise DataError(
                f"{len(cells)} columns where the header has {len(header)}",
                source=source,
                line=number,
            )
        rows.append(_csv_row(dict(zip(header, cells, strict=True)), source, number))
    return rows


def read_json_rows(path: Path) -> list[TierRow]:
    """The rows of a JSON file: ``{symbol: [tiers]}``, or such under ``snapshots`` by date."""
    with _open(path) as lines:
        try:
            content = json.loads("".join(lines))
        except json.JSONDecodeError as error:
            raise DataError(
                f"not valid JSON: {error.msg}", source=str(path), line=error.lineno
            ) from error
    if isinstance(content, dict) and isinstance(content.get("snapshots"), dict):
        rows = []
        for stamp, snapshot in content["snapshots"].items():
            when = parse_date(stamp)
            if when is None or not isinstance(snapshot, dict):
                raise DataError(f"snapshot {stamp!r} is not a dated table", source=str(path))
            rows += ccxt_rows(snapshot.get("tiers"), when, str(path))
        return rows
    return ccxt_rows(content, UNDATED, str(path))


def ccxt_rows(mapping: Any, valid_from: date, source: str = "leverage tiers") -> list[TierRow]:
    """The rows of what ccxt's ``fetch_leverage_tiers`` returns; DataError if it is not that."""
    if not isinstance(mapping, Mapping) or not mapping:
        raise DataError("expected a mapping of symbol to a list of tiers", source=source)
    rows = []
    for symbol, tiers in mapping.items():
        if not isinstance(tiers, list) or not tiers:
            raise DataError(f"{symbol} has no list of tiers", source=source)
        for number, tier in enumerate(tiers, start=1):
            place = f"{source}: {symbol} tier {number}"
            rows.append(_ccxt_row(str(symbol), valid_from, tier, place))
    return rows


def parse_date(text: str) -> date | None:
    """The date of ``YYYY-MM-DD`` or ``YYYY-MM`` (first of the month); None for anything else."""
    try:
        return date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError:
        return None


def _open(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError as error:
        raise DataError("the tier file does not exist", source=str(path)) from error
    except OSError as error:
        reason = f"the tier file cannot be read: {error.strerror}"
        raise DataError(reason, source=str(path)) from error


def _csv_row(cells: Mapping[str, str], source: str, line: int) -> TierRow:
    def number(name: str) -> float:
        try:
            return float(cells[name])
        except ValueError as error:
            raise DataError(
                f"{name} is not a number: {cells[name]!r}", source=source, line=line
            ) from error

    symbol, stamp = cells["symbol"].strip(), cells["valid_from"].strip()
    if not symbol:
        raise DataError("symbol is empty", source=source, line=line)
    when = parse_date(stamp)
    if when is None:
        reason = f"valid_from is not a date (YYYY-MM-DD): {stamp!r}"
        raise DataError(reason, source=source, line=line)
    return TierRow(
        symbol,
        when,
        number("min_notional"),
        number("max_notional") if cells["max_notional"].strip() else math.inf,
        number("maintenance_margin_rate"),
        number("max_leverage"),
        number("maintenance_amount") if cells["maintenance_amount"].strip() else None,
        number("liquidation_fee") if cells["liquidation_fee"].strip() else None,
        line,
    )


def _ccxt_row(symbol: str, valid_from: date, tier: Any, place: str) -> TierRow:
    if not isinstance(tier, Mapping):
        raise DataError("a tier must be a mapping", source=place)

    def found(key: str) -> Iterator[Any]:
        info = tier.get("info")
        for holder in (tier, info if isinstance(info, Mapping) else {}):
            for name in _CCXT_NAMES[key]:
                if holder.get(name) is not None:
                    yield holder[name]

    def number(key: str, default: float | None) -> float | None:
        value = next(found(key), default)
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError) as error:
            reason = f"{_CCXT_NAMES[key][0]} is not a number: {value!r}"
            raise DataError(reason, source=place) from error

    floor, cap = number("floor", 0.0), number("cap", math.inf)
    mmr, leverage = number("mmr", None), number("max_leverage", None)
    if floor is None or cap is None or mmr is None or leverage is None:
        raise DataError("maintenanceMarginRate and maxLeverage must both be there", source=place)
    return TierRow(symbol, valid_from, floor, cap, mmr, leverage, number("cum", None), None)
