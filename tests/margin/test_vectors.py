"""Every published row at its own tolerance, and proof that rows are computed and can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import DataError
from leverpack.margin.vectors import VectorCase, count_verdicts, evaluate_file
from tests.conftest import needs_shared, shared_dir, vectors

FILES = {
    "liquidation.json": 52,
    "funding_interest.json": 85,
    "tiers.json": 12,
    "binance_tiers_2024-10.json": 380,
    "binance_tiers_2026-09.json": 397,
}
NOT_COMPARED = {
    "ft-funding-nan-mark": "differs by design",
    "kucoin-cross-risk-5.88": "no inputs",
}


def all_cases() -> list[Any]:
    folder = shared_dir() / "vectors"
    paths = [folder / name for name in FILES if (folder / name).is_file()]
    return [pytest.param(c, id=f"{p.stem}:{c.id}") for p in paths for c in evaluate_file(p)]


@pytest.mark.parametrize("case", all_cases())
def test_row(case: VectorCase) -> None:
    assert case.verdict == NOT_COMPARED.get(case.id, "pass"), case
    if case.verdict == "pass":
        assert case.difference is None or case.difference <= case.tolerance * (1 + 1e-9)


@needs_shared
@pytest.mark.parametrize(("name", "count"), FILES.items())
def test_no_row_is_left_out(name: str, count: int) -> None:
    cases = evaluate_file(shared_dir() / "vectors" / name)
    assert len(cases) == count
    assert sum(count_verdicts(cases).values()) == count


@needs_shared
@pytest.mark.parametrize("name", ["liquidation.json", "funding_interest.json"])
def test_a_wrong_figure_is_found_in_every_row(name: str, tmp_path: Path) -> None:
    rows = vectors(name)
    for row in rows:
        for key in [k for k in row if k.startswith("expected")]:
            row[key] = row[key] + 3.0 * row["tolerance"] + 1e-6 * abs(row[key]) + 1e-9
    for case in evaluate_file(write(tmp_path, rows)):
        assert case.verdict == NOT_COMPARED.get(case.id, "off"), case


@needs_shared
@pytest.mark.parametrize("name", ["liquidation.json", "funding_interest.json"])
def test_the_figure_moves_with_the_inputs_and_not_with_the_answer(
    name: str, tmp_path: Path
) -> None:
    before = {c.id: c for c in evaluate_file(write(tmp_path, vectors(name)))}
    rows = [with_other_inputs(row) for row in vectors(name)]
    for case in evaluate_file(write(tmp_path, rows)):
        old = before[case.id].parts
        if case.id not in NOT_COMPARED and old[0].computed != 0.0:
            assert case.parts[0].computed != old[0].computed, case


def with_other_inputs(row: dict[str, Any]) -> dict[str, Any]:
    """The row with another entry price or another amount of money in it, and another answer."""
    changed = dict(row)
    if "formula" in row and "expected_liquidation_price" in row:
        changed["entry_price"] *= 1.37
        changed["expected_liquidation_price"] = 12345.0
        return changed
    if row["type"] == "roi_pct":
        return {**changed, "exit_price": row["exit_price"] * 1.37, "expected": 12345.0}
    for key in ("size", "notional", "borrowed", "wallet_balance", "liquidation_price", "equity",
                "min_notional", "amount"):  # fmt: skip
        if row.get(key):
            changed[key] *= 3.7  # enough to pass the next step of a rounded charge
    if "amounts" in row:
        changed["amounts"] = [2.0 * row["amounts"][0], *row["amounts"][1:]]
    return changed


@needs_shared
def test_wrong_cum_and_wrong_tier_are_found(tmp_path: Path) -> None:
    tiers = vectors("binance_tiers_2026-09.json")
    tiers["BTC/USDT:USDT"][2]["cum"] += 1.0
    off = [c.id for c in evaluate_file(write(tmp_path, tiers)) if not c.ok]
    assert off == ["BTC/USDT:USDT 1970-01-01 tier 3", "BTC/USDT:USDT 1970-01-01 tier 4"]
    lookups = vectors("tiers.json")
    lookups["tier_lookup"][2]["expected_mmr"] = 0.125
    lookups["max_leverage"][4] = {**lookups["max_leverage"][4], "collateral": 1e9}
    lookups["cum_formula"][0]["expected"] = 1301
    off = [c.id for c in evaluate_file(write(tmp_path, lookups)) if not c.ok]
    assert [name.split()[0] for name in off] == ["tier_lookup-3", "max_leverage-5", "cum_formula-1"]


def write(folder: Path, content: Any) -> Path:
    path = folder / "vectors.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


GOOD = {
    "id": "a", "formula": "binance_linear", "side": "long", "entry_price": 100.0, "size": 1.0,
    "leverage": 5, "wallet_balance": 20.0, "mmr": 0.01, "tolerance": 1e-6,
    "expected_liquidation_price": 80.808080808,
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "not valid JSON"),
        ("[]", "not a vector file"),
        ("3", "not a vector file"),
        ([1], "row 1 is not a record"),
        ([{"id": "a"}], "a: the row has neither"),
        ([{**GOOD, "entry_price": None}], "a: entry_price must be a number"),
        ([{**GOOD, "size": "many"}], "a: size must be a number"),
        ([{**GOOD, "side": "up"}], "a: side must be"),
        ([{**GOOD, "expected_liquidation_price": "much"}], "a: expected_liquidation_price"),
        ({"BTC/USDT:USDT": 3}, "BTC/USDT:USDT has no list of tiers"),
        ({"tables": {}}, "expected a mapping"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as error:
        evaluate_file(path)
    assert str(error.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        evaluate_file(tmp_path / "none.json")


def test_the_record_goes_into_json_and_an_unknown_formula_is_not_ok(tmp_path: Path) -> None:
    rows = [GOOD, {**GOOD, "id": "b", "formula": "nobody_knows"}]
    good, unknown = evaluate_file(write(tmp_path, rows))
    assert good.ok and good.verdict == "pass"
    assert not unknown.ok and unknown.verdict == "not supported"
    record = json.loads(json.dumps(good.to_dict(), allow_nan=False))
    assert record["id"] == "a" and record["parts"][0]["name"] == "liquidation_price"


def test_an_opposite_leg_of_the_same_symbol_moves_with_the_price(tmp_path: Path) -> None:
    leg = {"symbol": "X", "side": "short", "entry_price": 100.0, "size": 0.5, "mark_price": 90.0,
           "mmr": 0.01}  # fmt: skip
    row = {**GOOD, "symbol": "X", "other_positions": [leg]}
    # (20 - 100 + 50) / (0.01 + 0.005 - 1 + 0.5)
    row["expected_liquidation_price"] = -30.0 / -0.485
    assert evaluate_file(write(tmp_path, [row]))[0].verdict == "pass"
