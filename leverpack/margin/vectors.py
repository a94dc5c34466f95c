"""Published figures checked against the margin room: a vector file in, one verdict per row out."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leverpack.errors import DataError, SettingError
from leverpack.margin.tierfile import TierRow, read_json_rows
from leverpack.margin.tiers import TierBook, TierTable, next_maintenance_amount
from leverpack.margin.vectorcosts import cost_outcome, cum_from_text
from leverpack.margin.vectorliquidation import liquidation_outcome
from leverpack.margin.vectorrow import NO_INPUTS, NOT_SUPPORTED, Finding, Outcome, Row

PASS, OFF = "pass", "off"
DEFAULT_TOLERANCE = 1e-9  # for rows that state none
CENT = 0.01  # venues publish maintenance amounts rounded to the cent


@dataclass(frozen=True, slots=True)
class VectorPart:
    """One figure of a row: ``computed`` is None where the inputs give no number."""

    name: str
    expected: float
    computed: float | None
    difference: float | None
    ok: bool


@dataclass(frozen=True, slots=True)
class VectorCase:
    """One row: the figure that is off, or else its main one, and all of them in ``parts``.

    ``verdict`` is "pass", "off", "differs by design", "no inputs" (the row states a result
    only) or "not supported"; ``note`` says why. ``tolerance`` is the row's own, absolute.
    """

    id: str
    kind: str
    expected: float | str | None
    computed: float | str | None
    difference: float | None
    tolerance: float
    verdict: str
    note: str
    input_status: str
    parts: tuple[VectorPart, ...]

    @property
    def ok(self) -> bool:
        """False when the row contradicts the computation, or cannot be understood."""
        return self.verdict not in (OFF, NOT_SUPPORTED)

    def to_dict(self) -> dict[str, Any]:
        """The record for JSON; numbers that JSON cannot hold become None."""
        return {
            "id": self.id,
            "kind": self.kind,
            "expected": _plain(self.expected),
            "computed": _plain(self.computed),
            "difference": _plain(self.difference),
            "tolerance": self.tolerance,
            "verdict": self.verdict,
            "ok": self.ok,
            "note": self.note,
            "input_status": self.input_status,
            "parts": [
                {
                    "name": p.name,
                    "expected": _plain(p.expected),
                    "computed": _plain(p.computed),
                    "difference": _plain(p.difference),
                    "ok": p.ok,
                }
                for p in self.parts
            ],
        }


def count_verdicts(cases: Iterable[VectorCase]) -> dict[str, int]:
    """How many cases got each verdict."""
    return dict(Counter(case.verdict for case in cases))


def evaluate_file(path: str | Path) -> list[VectorCase]:
    """Compute every row of a vector file from its own inputs and compare with its figures.

    Shapes: a list of liquidation or cost rows, the tier lookups (``tables``, ``tier_lookup``,
    ``max_leverage``, ``cum_formula``), or a table of tiers in ccxt's form, whose maintenance
    amounts are checked. Raises DataError naming the file and row when it is none of them.
    """
    path = Path(path)
    content = _load(path)
    if isinstance(content, list) and content:
        return [_row_case(row, number, path) for number, row in enumerate(content, start=1)]
    if isinstance(content, dict) and "tables" in content:
        return _tier_cases(content, path)
    if isinstance(content, dict) and content:
        return _cum_cases(read_json_rows(path))
    raise DataError("not a vector file: expected a list of rows or tier tables", source=str(path))


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("the vector file does not exist", source=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except json.JSONDecodeError as error:
        reason = f"not valid JSON: {error.msg}"
        raise DataError(reason, source=str(path), line=error.lineno) from error
    except UnicodeDecodeError as error:
        raise DataError("not a text file in UTF-8", source=str(path)) from error


def _row_case(content: Any, number: int, path: Path) -> VectorCase:
    if not isinstance(content, Mapping) or not isinstance(content.get("id"), str):
        raise DataError(f"row {number} is not a record with an id", source=str(path))
    row = Row(content, f"{path}: {content['id']}")
    if "expected_liquidation_price" in content:
        kind, status = "liquidation_price", row.text("input_status", "")
        compute = liquidation_outcome
    elif "type" in content:
        kind, status = row.text("type"), row.text("verification", "")
        compute = cost_outcome
    else:
        reason = "the row has neither expected_liquidation_price nor type"
        raise DataError(reason, source=row.place)
    try:
        outcome = compute(row)
    except (SettingError, ZeroDivisionError, OverflowError) as error:
        raise DataError(f"the row cannot be computed: {error}", source=row.place) from error
    return _case(content["id"], kind, outcome, row.number("tolerance", DEFAULT_TOLERANCE), status)


def _case(
    name: str, kind: str, outcome: Outcome, tolerance: float, input_status: str = ""
) -> VectorCase:
    parts = tuple(_part(finding, tolerance) for finding in outcome.findings)
    verdict = outcome.verdict
    if not verdict:
        verdict = PASS if parts and all(p.ok for p in parts) else OFF
    shown = next((p for p in parts if not p.ok), parts[0] if parts else None)
    return VectorCase(
        id=name,
        kind=kind,
        expected=shown.expected if shown else outcome.stated,
        computed=shown.computed if shown else None,
        difference=shown.difference if shown else None,
        tolerance=tolerance,
        verdict=verdict,
        note=outcome.note,
        input_status=input_status,
        parts=parts,
    )


def _part(finding: Finding, tolerance: float) -> VectorPart:
    expected, computed = finding.expected, finding.computed
    if math.isnan(computed):
        return VectorPart(finding.name, expected, None, None, False)
    difference = 0.0 if computed == expected else abs(computed - expected)
    # A billionth of the tolerance for the rounding of the subtraction; 0 stays exact.
    ok = difference <= tolerance * (1.0 + 1e-9)
    return VectorPart(finding.name, expected, computed, difference, ok)


def _tier_cases(content: Mapping[str, Any], path: Path) -> list[VectorCase]:
    book = TierBook.from_ccxt(content["tables"], source=f"{path}: tables")
    cases = []
    for number, row in _rows(content, "tier_lookup", path):
        table, notional = _table(book, row), row.number("notional")
        findings = (
            Finding("mmr", row.number("expected_mmr"), table.mmr(notional)),
            Finding("cum", row.number("expected_cum"), table.maintenance_amount(notional)),
        )
        name = f"tier_lookup-{number} {table.symbol} {notional:g}"
        cases.append(_case(name, "tier_lookup", Outcome(findings), DEFAULT_TOLERANCE))
    for number, row in _rows(content, "max_leverage", path):
        cases.append(_max_leverage_case(_table(book, row), row, number))
    for number, row in _rows(content, "cum_formula", path):
        outcome = cum_from_text(row)
        cases.append(_case(f"cum_formula-{number}", "cum_formula", outcome, DEFAULT_TOLERANCE))
    if not cases:
        raise DataError("there are tables but no rows to check", source=str(path))
    return cases


def _max_leverage_case(table: TierTable, row: Row, number: int) -> VectorCase:
    collateral = row.number("collateral")
    name = f"max_leverage-{number} {table.symbol} {collateral:.12g}"
    computed: float | str
    try:
        computed, note = table.max_leverage_for_collateral(collateral), ""
    except SettingError as error:
        computed, note = "reject", str(error)
    if "expected_max_leverage" in row.content and not isinstance(computed, str):
        finding = Finding("max_leverage", row.number("expected_max_leverage"), computed)
        return _case(name, "max_leverage", Outcome((finding,)), DEFAULT_TOLERANCE)
    expected: float | str = "reject"
    if "expected_max_leverage" in row.content:
        expected = row.number("expected_max_leverage")
    elif not row.text("expected").startswith("reject"):
        raise DataError("expected must be a number or start with 'reject'", source=row.place)
    return VectorCase(
        name, "max_leverage", expected, computed, None, DEFAULT_TOLERANCE,
        PASS if computed == expected else OFF, note, "", (),
    )  # fmt: skip


def _cum_cases(rows: list[TierRow]) -> list[VectorCase]:
    cases, below, number = [], None, 0
    for row in rows:
        if below is None or (below.symbol, below.valid_from) != (row.symbol, row.valid_from):
            below, number = None, 0
        number += 1
        name = f"{row.symbol} {row.valid_from} tier {number}"
        if row.cum is None or (below is not None and below.cum is None):
            outcome = Outcome((), NO_INPUTS, "the table states no maintenance amount")
        else:
            due = 0.0
            if below is not None and below.cum is not None:
                due = next_maintenance_amount(below.cum, row.floor, below.mmr, row.mmr)
            outcome = Outcome((Finding("cum", row.cum, due),))
        cases.append(_case(name, "maintenance_amount", outcome, CENT))
        below = row
    return cases


def _rows(content: Mapping[str, Any], key: str, path: Path) -> list[tuple[int, Row]]:
    rows = content.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(r, Mapping) for r in rows):
        raise DataError(f"{key} is not a list of rows", source=str(path))
    return [(n, Row(r, f"{path}: {key}-{n}")) for n, r in enumerate(rows, start=1)]


def _table(book: TierBook, row: Row) -> TierTable:
    try:
        return book.at(row.text("symbol"))
    except SettingError as error:
        raise DataError(str(error), source=row.place) from error


def _plain(value: float | str | None) -> float | str | None:
    return value if not isinstance(value, float) or math.isfinite(value) else None
