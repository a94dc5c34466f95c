"""A saved run comes back whole, makes the same page, and a bad folder is one sentence."""

from __future__ import annotations

import dataclasses
import json
import webbrowser
from pathlib import Path

import numpy as np
import pytest

from leverpack.errors import DataError
from leverpack.report import write_report
from leverpack.report.months import monthly_returns
from leverpack.report.pack import price_digits
from leverpack.report.pictures import PICTURES, save
from leverpack.report.saved import read_run
from leverpack.report.tables import to_json_dict
from leverpack.result import BacktestResult
from tests.cli.test_bad_input import Call, leverpack  # noqa: F401 - a fixture
from tests.report.builders import made_result
from tests.report.test_report import sample


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return sample()


@pytest.fixture
def run(result: BacktestResult, tmp_path: Path) -> Path:
    write_report(result, tmp_path / "run")
    return tmp_path / "run"


def test_a_saved_run_comes_back_whole(result: BacktestResult, run: Path) -> None:
    again = read_run(run)
    assert to_json_dict(again) == to_json_dict(result)
    assert again.trades == result.trades
    assert again.stress == result.stress
    for name, values in result.series.items():
        assert np.array_equal(again.series[name], values, equal_nan=True), name
    for symbol, series in result.symbols.items():
        for field in dataclasses.fields(series):
            one, other = getattr(series, field.name), getattr(again.symbols[symbol], field.name)
            assert np.array_equal(one, other, equal_nan=True), field.name


def test_the_command_makes_the_same_page(leverpack: Call, run: Path, tmp_path: Path):  # noqa: F811
    out = tmp_path / "again.html"
    code, said, err = leverpack("report", str(run), "--out", str(out))
    assert (code, err) == (0, "")
    assert "again.html" in said
    assert out.read_text() == (run / "report.html").read_text()


def test_runs_are_compared_in_one_page(leverpack: Call, run: Path, tmp_path: Path):  # noqa: F811
    other = tmp_path / "other" / "run"
    write_report(made_result(500), other)
    code, _, err = leverpack("report", str(run), "--compare", str(other))
    assert (code, err) == (0, "")
    page = (run / "compare.html").read_text()
    assert "other/run" in page
    assert "start at different times" in page


def test_bad_folders_are_one_sentence(leverpack: Call, run: Path, tmp_path: Path):  # noqa: F811
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, part in (
        ([str(tmp_path / "away")], "there is no such folder"),
        ([str(empty)], "no result.json in it"),
        ([str(run), str(run)], "add --compare"),
        ([str(run), "--compare"], "name a second run"),
        ([str(run), "--compare", str(run)], "named twice"),
        ([str(run), "--out", str(empty)], "this is a folder"),
    ):
        code, out, err = leverpack("report", *arguments)
        assert (code, out) == (2, ""), arguments
        assert part in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("broken", ["{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_broken_result_is_named(run: Path, broken: str) -> None:
    (run / "result.json").write_text(broken)
    with pytest.raises(DataError, match=r"result\.json: "):
        read_run(run)


def test_broken_or_foreign_series_are_named(run: Path) -> None:
    (run / "series.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"series\.parquet: not the series"):
        read_run(run)
    write_report(made_result(30), run.parent / "short")
    (run / "series.parquet").write_bytes((run.parent / "short" / "series.parquet").read_bytes())
    with pytest.raises(DataError, match="not of the same run"):
        read_run(run)


def test_open_hands_the_page_to_the_browser(
    leverpack: Call, run: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
):
    asked: list[str] = []

    class Recorder(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            asked.append(url)
            return True

    monkeypatch.setattr(webbrowser, "_tryorder", ["recorder"])
    monkeypatch.setitem(webbrowser._browsers, "recorder", [None, Recorder()])
    assert leverpack("report", str(run), "--open")[0] == 0
    assert asked == [(run / "report.html").resolve().as_uri()]


def test_pictures_are_png_and_svg(tmp_path: Path) -> None:
    files = save(made_result(3_000, symbols=("A/B", "$C^2$")), tmp_path)
    assert {Path(n).stem for n in files} == {*PICTURES, "price-2"}
    for name, path in files.items():
        start = path.read_bytes()[:5]
        assert start == (b"\x89PNG\r" if name.endswith("png") else b"<?xml"), name
    again = save(made_result(3_000, symbols=("A/B", "$C^2$")), tmp_path / "again")
    assert all(again[n].read_bytes() == p.read_bytes() for n, p in files.items())


def test_months_multiply_to_the_return(result: BacktestResult) -> None:
    rows = monthly_returns(result)
    grown = np.prod([1.0 + m for r in rows for m in r.months if m is not None])
    assert grown - 1.0 == pytest.approx(result.totals["return"], abs=1e-12)
    assert [r.year for r in rows] == [2025]
    assert rows[0].total == pytest.approx(result.totals["return"], abs=1e-12)


def test_price_digits_are_those_of_the_ticks() -> None:
    assert price_digits(np.array([82_958.0, 1.0])) == 0
    assert price_digits(np.array([82_958.1, np.nan, 0.25])) == 2
    assert price_digits(np.array([0.00001234])) == 8


def test_the_result_file_is_strict_json(run: Path) -> None:
    json.loads((run / "result.json").read_text(), parse_constant=lambda name: pytest.fail(name))
