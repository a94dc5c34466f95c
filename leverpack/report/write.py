"""All files of a report, each written beside its place and then put there in one step."""

from __future__ import annotations

import json
from pathlib import Path

from leverpack.errors import SettingError
from leverpack.files import put_file, put_text
from leverpack.report.page import render_page
from leverpack.report.pictures import overview, write_figure
from leverpack.report.saved import RESULT_FILE, SERIES_FILE, write_series
from leverpack.report.tables import to_json_dict, write_margin, write_trades
from leverpack.result import BacktestResult


def write_report(result: BacktestResult, folder: Path) -> dict[str, Path]:
    """Write the files of one run; returns their paths.

    Keys: result (result.json), series (series.parquet; ``leverpack report`` makes the page anew
    from these two), trades and margin (CSV), picture (chart.png), page (report.html). An older
    report in ``folder`` is replaced file by file. Raises SettingError when the folder cannot be
    written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(to_json_dict(result), indent=2, allow_nan=False)
        page = render_page(result)
        picture = folder / "chart.png"
        write_figure(overview(result), picture)
        return {
            "result": put_text(folder / RESULT_FILE, text),
            "series": put_file(folder / SERIES_FILE, lambda p: write_series(result, p)),
            "trades": put_file(folder / "trades.csv", lambda p: write_trades(result, p)),
            "margin": put_file(folder / "margin.csv", lambda p: write_margin(result, p)),
            "picture": picture,
            "page": put_text(folder / "report.html", page),
        }
    except OSError as fault:
        raise _refused("--report", folder, fault) from fault


def write_text(path: Path, text: str, option: str) -> None:
    """Put a text in its place in one step; SettingError names ``option`` where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        put_text(path, text)
    except OSError as fault:
        raise _refused(option, path, fault) from fault


def _refused(option: str, path: Path, fault: OSError) -> SettingError:
    return SettingError(f"{option} {path}: cannot be written ({fault.strerror or fault})")
