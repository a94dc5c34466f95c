"""The result as JSON and as CSV tables."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.result import BacktestResult

FORMAT_VERSION = 1
ACCOUNT_COLUMNS = (
    "equity", "margin_ratio", "worst_margin_ratio", "margin_level", "effective_leverage",
    "free_margin", "used_margin", "funding", "fees",
)  # fmt: skip
SYMBOL_COLUMNS = ("close", "mark", "position", "liquidation_price", "liquidation_distance")


def to_json_dict(result: BacktestResult) -> dict[str, Any]:
    """Everything but the series by candle; what JSON cannot hold (NaN, inf) becomes None."""
    fields = {
        f.name: getattr(result, f.name)
        for f in dataclasses.fields(result)
        if f.name not in ("series", "symbols")
    }
    cleaned: dict[str, Any] = plain({"format": FORMAT_VERSION, **fields})
    return cleaned


def plain(value: Any) -> Any:
    """``value`` as JSON holds it: records as dicts, NaN and inf as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def write_trades(result: BacktestResult, path: Path) -> None:
    """One line a trade, times in ISO UTC."""
    import pyarrow as pa
    from pyarrow import csv

    from leverpack.result import TradeRecord

    names = [f.name for f in dataclasses.fields(TradeRecord)]
    columns = {n: [getattr(t, n) for t in result.trades] for n in names}
    table = {
        n: _times(v) if n.endswith("_time") else pa.array(v, type=_arrow_type(n))
        for n, v in columns.items()
    }
    csv.write_csv(pa.table(table), path)


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    if name in ("symbol", "side", "reason", "exit_reason"):
        return pa.string()
    return pa.int64() if name in ("bars", "duration_ms") else pa.float64()


def _times(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(values, type=pa.timestamp("ms", "UTC"))


def write_margin(result: BacktestResult, path: Path) -> None:
    """One line a candle: the account, then each symbol; empty where there is no value."""
    import pyarrow as pa
    from pyarrow import csv

    table: dict[str, Any] = {"datetime": _times(np.asarray(result.series["ts"], dtype=np.int64))}
    for name in ACCOUNT_COLUMNS:
        table[name] = pa.array(result.series[name], from_pandas=True)
    for symbol, series in result.symbols.items():
        for name in SYMBOL_COLUMNS:
            table[f"{symbol} {name}"] = pa.array(getattr(series, name), from_pandas=True)
    csv.write_csv(pa.table(table), path)
