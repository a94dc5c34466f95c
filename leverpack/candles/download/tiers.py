"""The leverage tiers of an exchange as a dated table in the project's own CSV form."""

from __future__ import annotations

import csv
import math
from datetime import date
from pathlib import Path
from typing import Any

from leverpack.candles.download.client import Client
from leverpack.errors import DataError, SettingError
from leverpack.files import put_file
from leverpack.margin.tierfile import COLUMNS
from leverpack.margin.tiers import TierBook, TierTable, plain_symbol, read_tiers


def download_tiers(client: Client, symbols: list[str], path: Path, when: date) -> bool:
    """Write the tiers of the symbols, valid from ``when`` (UTC) on; False: they are all there.

    Tables of other symbols that the file holds stay. Raises DataError where the exchange's
    tiers contradict themselves, SettingError where the file cannot be written.
    """
    there = _there(path)
    lacking = [s for s in symbols if plain_symbol(s) not in {t.symbol for t in there}]
    if not lacking:
        return False
    mapping = client.tiers(lacking)
    for symbol in lacking:
        if symbol not in mapping:
            raise DataError(f"has no leverage tiers of {symbol}", source=client.name)
    book = TierBook.from_ccxt(mapping, when, client.name)
    new = [_with_fee(book.at(s), client.market(s)) for s in lacking]
    try:
        put_file(path, lambda p: _write([*there, *new], p), durable=True)
    except OSError as fault:
        raise SettingError(f"{path}: cannot be written ({fault.strerror or fault})") from fault
    return True


def _there(path: Path) -> list[TierTable]:
    if not path.exists():
        return []
    book = read_tiers(path)
    return [table for symbol in book.symbols for table in book.tables(symbol)]


def _with_fee(table: TierTable, market: dict[str, Any]) -> TierTable:
    """With the clearance fee that Binance states beside the market; ccxt's tiers leave it out."""
    try:
        fee = float((market.get("info") or {}).get("liquidationFee", "nan"))
    except (TypeError, ValueError, AttributeError):
        return table
    return table.with_liquidation_fee(fee) if 0.0 <= fee < 1.0 else table


def _write(tables: list[TierTable], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for t in tables:
            columns = zip(t.floors, t.caps, t.mmrs, t.max_leverages, t.cums, strict=True)
            for number, (floor, cap, mmr, leverage, cum) in enumerate(columns, 1):
                most = "" if math.isinf(cap) else repr(cap)
                writer.writerow(
                    (t.symbol, t.valid_from.isoformat(), number, repr(floor), most, repr(mmr),
                     repr(leverage), repr(cum), repr(t.liquidation_fee))
                )  # fmt: skip
