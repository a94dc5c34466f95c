"""``leverpack data`` as typed by hand: check, info, convert, sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leverpack.candles.reader import read_candles, read_funding
from tests.candles.helpers import HOUR, START, rows, write
from tests.cli.test_bad_input import YEAR, Call, leverpack, one_sentence  # noqa: F401 - a fixture
from tests.cli.test_commands import imported_by
from tests.conftest import ROOT, needs_shared, real

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

MARK = ROOT / "data" / "made_BTCUSDT_mark_1h_2025.csv"
FUNDING = ROOT / "data" / "made_BTCUSDT_funding_2025.csv"


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """Candles with a gap: usable, and worth a warning."""
    return write(tmp_path / "GAPUSDT-1h.csv", rows(40)[:20] + rows(40)[23:])


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    lines = rows(40)
    lines[5] = lines[5].replace("105", "1O5", 1)
    return write(tmp_path / "BADUSDT-1h.csv", lines)


# --- check ------------------------------------------------------------------------------------


def test_the_keys_that_programs_read(leverpack: Call, gap: Path):  # noqa: F811
    code, out, err = leverpack("data", "check", str(gap), "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found.keys() >= {
        "rows", "first", "last", "timeframe", "gaps", "duplicates", "faults", "treatment",
        "columns", "unit", "tz", "order", "sum_close", "findings", "ok",
    }  # fmt: skip
    assert (found["rows"], found["gaps"], found["missing_bars"], found["ok"]) == (37, 1, 3, True)
    (said,) = found["findings"]
    assert said["severity"] == "warning"
    assert "from 2025-01-01T20:00:00+00:00 to 2025-01-01T23:00:00+00:00" in said["message"]


def test_the_table_names_findings_and_treatment(leverpack: Call, gap: Path):  # noqa: F811
    code, out, _ = leverpack("data", "check", str(gap))
    assert code == 0
    assert "missing" in out
    assert "left open" in out
    code, out, _ = leverpack("data", "check", str(FUNDING))
    assert code == 0
    assert "8 h 1094 times" in out


def test_strict_refuses_what_is_warned_of(leverpack: Call, gap: Path):  # noqa: F811
    code, out, err = leverpack("data", "check", str(gap), "--strict")
    one_sentence(code, err, "GAPUSDT-1h.csv: 3 1h candles are missing", "--strict")
    assert "left open" in out
    code, out, err = leverpack("data", "check", str(gap), "--strict", "--json")
    assert json.loads(out)["ok"] is False
    one_sentence(code, err, "missing")
    assert leverpack("data", "check", str(YEAR), "--strict")[0] == 0


def test_strict_in_a_backtest(leverpack: Call, tmp_path: Path):  # noqa: F811
    lines = YEAR.read_text().splitlines()[:400]
    path = tmp_path / "BTCUSDT.csv"
    path.write_text("\n".join(lines[:200] + lines[203:]))
    assert leverpack("backtest", "--data", str(path), "--json")[0] == 0
    code, out, err = leverpack("backtest", "--data", str(path), "--strict", "--json")
    one_sentence(code, err, f"{path}: 3 1h candles are missing", "--strict")
    assert out == ""
    path.write_text("\n".join(lines))
    assert leverpack("backtest", "--data", str(path), "--strict", "--json")[0] == 0
    # What mark and funding are warned of counts as well.
    short = tmp_path / "mark.csv"
    short.write_text("\n".join(MARK.read_text().splitlines()[:300]))
    code, _, err = leverpack("backtest", "--data", str(path), "--mark", str(short), "--strict")
    one_sentence(code, err, f"{short}: no mark price for 100 of 399 candles")


def test_the_result_says_what_every_file_held(leverpack: Call, tmp_path: Path):  # noqa: F811
    fund = tmp_path / "fund.csv"
    lines = FUNDING.read_text().splitlines()
    fund.write_text("\n".join(lines[:30] + lines[31:]))
    mark = tmp_path / "mark.csv"
    lines = MARK.read_text().splitlines()
    mark.write_text("\n".join(lines[:1] + lines[:0:-1]))  # descending
    done = leverpack(
        "backtest", "--data", str(YEAR), "--mark", str(mark), "--funding", str(fund),
        "--report", str(tmp_path / "report"),
    )  # fmt: skip
    assert done[0] == 0
    result = json.loads((tmp_path / "report" / "result.json").read_text())
    assert [(f["role"], f["rows"]) for f in result["files"]] == [
        ("data", 8760), ("mark", 8760), ("funding", 1094),
    ]  # fmt: skip
    seen = {(f["source"], f["code"]) for f in result["findings"]}
    assert {(str(mark), "order"), (str(fund), "gaps")} <= seen
    page = (tmp_path / "report" / "report.html").read_text()
    assert "no settlement for 16 h" in page
    assert str(mark) in page


def test_several_files_are_looked_at_each_for_itself(
    leverpack: Call, gap: Path, faulty: Path, tmp_path: Path  # noqa: F811
):
    prose = tmp_path / "notes.csv"
    prose.write_text("hello\nno table\n")
    code, out, err = leverpack("data", "check", str(gap), str(YEAR), "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    assert [f["rows"] for f in found["files"]] == [37, 8760]
    code, out, err = leverpack("data", "check", str(gap), str(faulty), str(prose), "--json")
    found = json.loads(out)
    assert (code, err) == (2, "")
    assert [f["ok"] for f in found["files"]] == [True, False, False]
    assert "notes.csv" in found["files"][2]["refused"]
    code, out, _ = leverpack("data", "check", str(gap), str(faulty), str(prose))
    assert code == 2
    assert "refused: " in out
    assert "3 files" in out
    code, _, err = leverpack("data", "check", str(YEAR), str(gap), "--strict")
    one_sentence(code, err, "GAPUSDT-1h.csv", "missing")


def test_a_folder_a_pattern_and_standard_input_are_one_series(
    leverpack: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
):
    lines = YEAR.read_text().splitlines()
    for month, start in (("01", 1), ("02", 745)):
        part = [lines[0], *lines[start : start + 744]]
        (tmp_path / f"BTCUSDT-1h-2025-{month}.csv").write_text("\n".join(part))
    for source in (str(tmp_path), str(tmp_path / "*.csv")):
        code, out, _ = leverpack("data", "check", source, "--json")
        found = json.loads(out)
        assert (code, found["rows"], found["files"], found["gaps"]) == (0, 1488, 2, 0)
    code, out, _ = leverpack("data", "convert", str(tmp_path), str(tmp_path / "all.parquet"))
    assert code == 0
    assert len(read_candles(tmp_path / "all.parquet")) == 1488
    with YEAR.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        code, out, _ = leverpack("data", "check", "-", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 8760)


def test_missing_candles_and_several_symbols(
    leverpack: Call, gap: Path, tmp_path: Path  # noqa: F811
):
    code, out, _ = leverpack("data", "check", str(gap), "--fill", "previous", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 40)
    code, _, err = leverpack("data", "check", str(gap), "--fill", "error")
    one_sentence(code, err, "GAPUSDT-1h.csv:21:", "missing")
    leverpack("data", "convert", str(gap), str(tmp_path / "whole.csv"), "--fill", "previous")
    assert len(read_candles(tmp_path / "whole.csv")) == 40
    wide = tmp_path / "wide.csv"
    header = "time," + ",".join(f"{s}:{w}" for s in "AB" for w in ("open", "high", "low", "close"))
    wide.write_text("\n".join([header, *(f"{START + i * HOUR},1,2,1,2,5,6,5,6" for i in range(9))]))
    code, _, err = leverpack("data", "info", str(wide))
    one_sentence(code, err, "A, B", "symbol")
    code, out, _ = leverpack("data", "info", str(wide), "--symbol", "B")
    assert code == 0
    assert out.startswith("what          B, candles of 1h")


def test_check_with_a_mark(leverpack: Call, gap: Path):  # noqa: F811
    code, out, _ = leverpack("data", "check", str(YEAR), "--mark", str(MARK), "--json")
    assert code == 0
    assert json.loads(out)["mark"]["rows"] == 8760
    code, out, _ = leverpack("data", "check", str(YEAR), "--mark", str(MARK))
    assert MARK.name in out.replace("\n", "")
    code, _, err = leverpack("data", "check", str(YEAR), str(gap), "--mark", str(MARK))
    one_sentence(code, err, "--mark", "one file")
    code, _, err = leverpack("data", "check", str(YEAR), "--mark", str(YEAR))
    one_sentence(code, err, "volume", "mark")
    code, _, err = leverpack("data", "check", str(FUNDING), "--mark", str(MARK))
    one_sentence(code, err, "--mark", "funding")


# --- info -------------------------------------------------------------------------------------


def test_info_is_a_few_lines_for_a_person(leverpack: Call):  # noqa: F811
    code, out, err = leverpack("data", "info", str(YEAR))
    assert (code, err) == (0, "")
    lines = dict(line.split(None, 1) for line in out.splitlines())
    assert 5 <= len(lines) <= 10
    assert lines["what"] == "BTCUSDT, candles of 1h"
    assert lines["span"] == "2025-01-01 00:00 to 2026-01-01 00:00, 8,760 rows, 365.0 days"
    assert "% a day, over 365 days" in lines["volatility"]
    assert "2025-08-18" in out  # the made crash
    assert lines["gaps"] == lines["warnings"] == "none"


def test_info_of_marks_funding_and_a_single_candle(
    leverpack: Call, gap: Path, tmp_path: Path  # noqa: F811
):
    assert "BTCUSDT, mark candles of 1h" in leverpack("data", "info", str(MARK))[1]
    out = leverpack("data", "info", str(FUNDING))[1]
    assert "BTCUSDT, funding settlements" in out
    assert "8 h (1094 times)" in out
    assert "1, 3 candles; the longest of 3 from 2025-01-01 20:00" in (
        leverpack("data", "info", str(gap))[1]
    )
    single = write(tmp_path / "one.csv", rows(1))
    code, out, _ = leverpack("data", "info", str(single))
    assert code == 0
    assert "unknown length" in out
    single = write(tmp_path / "fund.csv", [f"{START},0.0001"], "time,rate")
    assert "one settlement" in leverpack("data", "info", str(single))[1]


@needs_shared
def test_info_of_real_candles(leverpack: Call):  # noqa: F811
    path = real("binanceusdm_ETHUSDT_perp_1h_20200101_20221231.parquet")
    out = leverpack("data", "info", str(path))[1]
    assert "84.23 (2020-03-13 02:00) to 4877.54 (2021-11-10 14:00), last 1196.1" in out
    assert "widest candle 283.5% at 2020-03-13 02:00" in out
    assert "5.32% a day, over 1096 days" in out


# --- convert ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz", ".feather"])
def test_convert_there_and_back(leverpack: Call, tmp_path: Path, ending: str):  # noqa: F811
    for source, name in ((YEAR, "a"), (MARK, "a_mark"), (FUNDING, "a_funding")):
        out = tmp_path / f"{name}{ending}"
        code, said, err = leverpack("data", "convert", str(source), str(out))
        assert (code, err) == (0, "")
        assert "rows" in said
        if source is FUNDING:
            one, other = read_funding(source), read_funding(out)
            assert one.rate.tobytes() == other.rate.tobytes()
        else:
            kind = "mark" if source is MARK else "trade"
            one, other = read_candles(source, kind=kind), read_candles(out, kind=kind)
            assert one.close.tobytes() == other.close.tobytes()
            assert other.timeframe_ms == HOUR
        assert one.ts.tobytes() == other.ts.tobytes()
        assert other.symbol == "BTCUSDT"


def test_convert_refuses_in_one_sentence(
    leverpack: Call, gap: Path, faulty: Path, tmp_path: Path  # noqa: F811
):
    out = tmp_path / "a.csv"
    out.write_text("mine")
    code, _, err = leverpack("data", "convert", str(gap), str(out))
    one_sentence(code, err, "a.csv", "--force")
    assert out.read_text() == "mine"
    code, _, err = leverpack("data", "convert", str(faulty), str(out), "--force")
    one_sentence(code, err, "BADUSDT-1h.csv:7:", "not a number")
    assert out.read_text() == "mine"
    assert leverpack("data", "convert", str(gap), str(out), "--force")[0] == 0
    assert len(read_candles(out)) == 37
    for name, words in (("a.xlsx", "must end in"), ("none/a.csv", "no folder")):
        code, _, err = leverpack("data", "convert", str(gap), str(tmp_path / name))
        one_sentence(code, err, name, words)
    code, said, _ = leverpack("data", "convert", str(faulty), str(tmp_path / "b.csv"),
                              "--on-fault", "drop")  # fmt: skip
    assert code == 0
    assert "row dropped" in said
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv"] * 4


# --- sample -----------------------------------------------------------------------------------


def test_the_shipped_samples_are_those_of_their_seed(leverpack: Call, tmp_path: Path):  # noqa: F811
    code, out, err = leverpack("data", "sample", "--check")
    assert (code, err) == (0, "")
    assert out.count("as made") == 6
    code, out, _ = leverpack("data", "sample", "--folder", str(tmp_path / "s"))
    assert code == 0
    for path in (tmp_path / "s").glob("*.csv"):
        assert path.read_bytes() == (ROOT / "data" / path.name).read_bytes()
    spoilt = tmp_path / "s" / "made_BTCUSDT_funding_2025.csv"
    spoilt.write_text("mine")
    code, out, _ = leverpack("data", "sample", "--folder", str(tmp_path / "s"), "--check")
    assert code == 1
    assert f"{spoilt.name}: differs" in out
    code, _, err = leverpack("data", "sample", "--folder", str(tmp_path / "s"))
    one_sentence(code, err, spoilt.name, "--force")
    assert spoilt.read_text() == "mine"
    assert leverpack("data", "sample", "--folder", str(tmp_path / "none"), "--check")[0] == 1
    assert not (tmp_path / "none").exists()


def test_another_seed_needs_a_folder_of_its_own(leverpack: Call, tmp_path: Path):  # noqa: F811
    code, _, err = leverpack("data", "sample", "--seed", "7")
    one_sentence(code, err, "--seed 7", "--folder")
    assert leverpack("data", "sample", "--check")[0] == 0
    code, _, _ = leverpack("data", "sample", "--seed", "7", "--folder", str(tmp_path))
    assert code == 0
    made = tmp_path / YEAR.name
    assert made.read_bytes() != YEAR.read_bytes()
    assert len(read_candles(made)) == 8760


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], ["FILE"]),
        (["check", "nowhere.csv"], ["nowhere.csv", "no such file"]),
        (["check", str(YEAR), "--kind", "luck"], ["kind", "luck", "funding"]),
        (["check", str(YEAR), "--on-fault", "guess"], ["--on-fault", "guess"]),
        (["check", str(YEAR), "--kind", "funding"], ["rate"]),
        (["check", str(YEAR), "--mark", "nowhere.csv"], ["nowhere.csv"]),
        (["info"], ["FILE"]),
        (["info", "nowhere.csv"], ["nowhere.csv"]),
        (["convert", str(YEAR)], ["OUT"]),
        (["convert", "nowhere.csv", "out.csv"], ["nowhere.csv"]),
        (["sample", "--seed", "-1"], ["--seed"]),
        (["sample", "--folder", str(YEAR)], [YEAR.name]),
    ],
    ids=lambda v: " ".join(Path(w).name for w in v) if isinstance(v, list) else None,
)
def test_bad_calls(leverpack: Call, arguments: list[str], words: list[str]):  # noqa: F811
    code, _, err = leverpack("data", *arguments)
    one_sentence(code, err, *words)


def test_they_import_no_framework():
    for arguments in (("check", str(YEAR)), ("info", str(YEAR)), ("sample", "--check")):
        loaded = imported_by("data", *arguments)
        assert not loaded & {"backtrader", "ccxt", "matplotlib", "numba", "jinja2", "pandas"}
