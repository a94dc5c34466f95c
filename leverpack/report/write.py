"""All files of a report, each written beside its place and then put there in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from leverpack.errors import SettingError
from leverpack.report.page import render_page
from leverpack.report.picture import draw
from leverpack.report.tables import to_json_dict, write_margin, write_trades
from leverpack.result import BacktestResult


def write_report(result: BacktestResult, folder: Path) -> dict[str, Path]:
    """Write result.json, trades.csv, margin.csv, chart.png and report.html; returns the paths.

    Keys: result, trades, margin, picture, page. An older report in ``folder`` is replaced file
    by file. Raises SettingError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        picture = _put(folder / "chart.png", lambda p: draw(result, p))
        page = render_page(result, picture.read_bytes())
        text = json.dumps(to_json_dict(result), indent=2, allow_nan=False)
        return {
            "result": _put(folder / "result.json", lambda p: _write_text(p, text)),
            "trades": _put(folder / "trades.csv", lambda p: write_trades(result, p)),
            "margin": _put(folder / "margin.csv", lambda p: write_margin(result, p)),
            "picture": picture,
            "page": _put(folder / "report.html", lambda p: _write_text(p, page)),
        }
    except OSError as fault:
        raise SettingError(
            f"--report {folder}: cannot be written ({fault.strerror or fault})"
        ) from fault


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _put(path: Path, write: Callable[[Path], None]) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
