"""What the loader sees in a file and would do with it: all faults, not just the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leverpack.candles.faults import OnFault, check_on_fault
from leverpack.candles.reader import load_candles, load_funding
from leverpack.candles.series import Candles, Funding
from leverpack.errors import DataError, SettingError

KINDS = ("auto", "candles", "mark", "funding")


def check_file(path: Any, kind: str = "auto", on_fault: OnFault = "error") -> dict[str, Any]:
    """Read a file of candles, mark candles or funding and tell what was found and done.

    Returns the summary of what was read (see ``Candles.summary``) with ``ok``: whether a
    backtest would accept the file with this ``on_fault``. Every kind of fault is listed once,
    with its first line and its count. Raises DataError when the file is no table of that kind.
    """
    check_on_fault(on_fault)
    if kind not in KINDS:
        raise SettingError(f"kind={kind!r} is none of {', '.join(KINDS)}")
    read = _read(path, kind, on_fault)
    summary = read.summary()
    summary["ok"] = on_fault != "error" or summary["faults"] == 0
    return summary


def _read(path: Any, kind: str, on_fault: OnFault) -> Candles | Funding:
    collect = on_fault == "error"
    name = Path(path).name.lower() if isinstance(path, (str, Path)) else ""
    if kind == "funding" or (kind == "auto" and "funding" in name):
        return load_funding(path, on_fault=on_fault, collect=collect)
    if kind == "mark" or (kind == "auto" and "mark" in name.replace("market", "")):
        try:
            return load_candles(path, kind="mark", on_fault=on_fault, collect=collect)
        except DataError:
            if kind == "mark" or "merged" not in name:
                raise
    if kind == "candles":
        return load_candles(path, on_fault=on_fault, collect=collect)
    try:
        return load_candles(path, on_fault=on_fault, collect=collect)
    except DataError as refused:
        try:
            return load_funding(path, on_fault=on_fault, collect=collect)
        except DataError:
            raise refused from None
