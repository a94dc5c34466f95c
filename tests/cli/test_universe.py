"""``leverpack universe`` as typed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.candles.helpers import HOUR, START
from tests.candles.test_universe import save, walk
from tests.cli.test_bad_input import Call, leverpack, one_sentence  # noqa: F401 - a fixture
from tests.cli.test_commands import imported_by
from tests.conftest import ROOT, needs_shared, real


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("candles")
    save(path, "AAAUSDT-1h.csv", walk(1, 40))
    save(path, "AAAUSDT-4h.csv", walk(1, 40, 4 * HOUR))
    save(path, "BBBUSDT-1h.csv", walk(2, 40, daily=0.15))
    save(path, "CCCUSDC-1h.csv", walk(3, 40, daily=0.07))
    save(path, "CALMUSDT-1h.csv", walk(4, 40, daily=0.01))
    (path / "notes.txt").write_text("buy low, sell high\n")
    return path


def test_the_tables(leverpack: Call, folder: Path):  # noqa: F811
    code, out, err = leverpack("universe", str(folder))
    assert (code, err) == (0, "")
    chosen, rest = out.split("left out")
    assert chosen.index("BBBUSDT") < chosen.index("CCCUSDC") < chosen.index("AAAUSDT")
    assert "CALMUSDT" not in chosen
    assert "at least 3 % is" in rest
    assert "notes.txt" in rest.split("files not used")[1]
    assert "AAAUSDT: AAAUSDT-1h.csv (1h) counts, not AAAUSDT-4h.csv (4h)" in out


def test_json_is_all_there_is_on_standard_output(leverpack: Call, folder: Path):  # noqa: F811
    code, out, err = leverpack("universe", str(folder), "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [m["symbol"] for m in found["chosen"]] == ["BBBUSDT", "CCCUSDC", "AAAUSDT"]
    first = found["chosen"][0]
    assert (first["days"], first["timeframe"], first["quote"]) == (40, "1h", "USDT")
    assert (first["first"], first["last"]) == (
        "2025-01-01T00:00:00+00:00", "2025-02-10T00:00:00+00:00"
    )  # fmt: skip
    assert list(found["left_out"]) == ["CALMUSDT"]
    assert list(found["refused"]) == [str(folder / "notes.txt")]
    assert found["rules"]["min_volatility"] == 0.03


@pytest.mark.parametrize(
    ("options", "chosen", "words"),
    [
        (["--min-volatility", "0.1"], ["BBBUSDT"], "at least 10 % is wanted"),
        (["--min-volatility", "0"], ["BBBUSDT", "CCCUSDC", "AAAUSDT", "CALMUSDT"], None),
        (["--min-volume", "1e12"], [], "at least 1,000,000,000,000 USDT is wanted"),
        (["--min-range", "0.15"], ["BBBUSDT"], "daily range"),
        (["--min-days", "41"], [], "40 whole days"),
        (["--max-age-hours", "0", "--top", "1"], ["BBBUSDT"], "ranked 2 of 3"),
        (["--quote", "USDC"], ["CCCUSDC"], "not in USDC"),
        (["--now", "2025-02-13"], [], "72.0 hours before now"),
        (["--now", "2025-01-20T00:00+00:00", "--min-days", "19"],
         ["BBBUSDT", "CCCUSDC", "AAAUSDT"], None),
        (["--now", "2025-01-20", "--min-days", "20"], [], "19 whole days"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)  # fmt: skip
def test_every_option_reaches_the_rules(
    leverpack: Call, folder: Path, options: list[str], chosen: list[str],  # noqa: F811
    words: str | None,
):  # fmt: skip
    code, out, _ = leverpack("universe", str(folder), *options, "--json")
    found = json.loads(out)
    assert code == 0
    assert [m["symbol"] for m in found["chosen"]] == chosen
    assert words is None or words in " ".join(found["left_out"].values())


def test_ranks(leverpack: Call, folder: Path):  # noqa: F811
    for name, field in (("volume", "quote_volume"), ("range", "range_spread")):
        found = json.loads(leverpack("universe", str(folder), "--rank-by", name, "--json")[1])
        values = [m[field] for m in found["chosen"]]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)


def test_flat_and_faulty_files(leverpack: Call, tmp_path: Path):  # noqa: F811
    path = save(tmp_path, "AAAUSDT.csv", walk(1, 40))
    rows = path.read_text().splitlines()
    when, price = START + 40 * 24 * HOUR, rows[-1].split(",")[4]
    rows += [f"{when + i * HOUR},{price},{price},{price},{price},0" for i in range(10)]
    rows.insert(50, rows[50])
    path.write_text("\n".join(rows))
    code, _, err = leverpack("universe", str(path))
    one_sentence(code, err, "none of the files", "AAAUSDT.csv", "line 52")
    found = json.loads(leverpack("universe", str(path), "--on-fault", "drop", "--json")[1])
    assert found["chosen"][0]["flat_hours"] == 10.0
    _, out, _ = leverpack("universe", str(path), "--on-fault", "drop", "--max-flat-hours", "9")
    assert "no symbol is chosen" in out
    assert "10.0 hours" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["FOLDER_OR_GLOB"]),
        (["nowhere"], ["nowhere", "no such folder or file"]),
        (["nowhere/*.csv"], ["nowhere/*.csv"]),
        (["--min-volatility", "3"], ["min_volatility", "fraction", "3.0"]),
        (["--min-volatility", "x"], ["--min-volatility"]),
        (["--min-volume", "-1"], ["min_volume"]),
        (["--min-days", "1"], ["min_days"]),
        (["--top", "0"], ["top"]),
        (["--rank-by", "luck"], ["rank_by", "volatility, volume, range", "luck"]),
        (["--on-fault", "guess"], ["on_fault", "guess"]),
        (["--now", "soon"], ["--now soon"]),
        (["--now", "2020-01-01"], ["none of the files", "no candle begins before 2020-01-01"]),
        (["--bogus"], ["--bogus"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_bad_calls(
    leverpack: Call, folder: Path, arguments: list[str], words: list[str]  # noqa: F811
):
    where = [str(folder)] if arguments and arguments[0].startswith("--") else []
    code, out, err = leverpack("universe", *where, *arguments)
    one_sentence(code, err, *words)
    assert out == ""


def test_it_imports_no_framework():
    loaded = imported_by("universe", str(ROOT / "data" / "made_BTCUSDT_1h_2025.csv"))
    assert "leverpack.candles.universe" in loaded
    assert not loaded & {"backtrader", "ccxt", "matplotlib", "numba", "jinja2", "pandas"}


@needs_shared
def test_real_candles(leverpack: Call):  # noqa: F811
    pattern = real("*_perp_*_20260219.parquet")
    found = json.loads(leverpack("universe", str(pattern), "--top", "3", "--json")[1])
    figures = [(m["symbol"], round(m["daily_volatility"], 4)) for m in found["chosen"]]
    assert figures == [("HYPEUSDT", 0.0508), ("DOGEUSDT", 0.0492), ("SOLUSDT", 0.0452)]
    assert list(found["left_out"]) == ["BNBUSDT", "BTCUSDT", "ETHUSDT", "XRPUSDT"]
