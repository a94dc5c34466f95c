"""An audit as plain values, JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leverpack.audit.fixing import Step
from leverpack.audit.records import Audit, AuditRow
from leverpack.audit.run import summary
from leverpack.files import put_text

COLUMNS = tuple(f.name for f in fields(AuditRow))


def to_dict(audit: Audit, steps: Sequence[Step] | None = None) -> dict[str, Any]:
    """What ``--json`` prints; leverages in x, money in quote, distances as fractions.

    What is not known, flat or without an end (no equity left) is None. ``fix`` has an entry for
    each symbol that was to be set.
    """
    exposure = audit.exposure
    said = {
        "exchange": audit.exchange,
        "time": datetime.fromtimestamp(audit.time / 1000, UTC).isoformat(timespec="seconds"),
        "in_bounds": audit.in_bounds,
        "summary": summary(audit),
        "equity": audit.equity,
        "exposure": {
            "gross": exposure.gross, "net": exposure.net, "longs": exposure.longs,
            "shorts": exposure.shorts, "positions": exposure.positions,
            "leverage": exposure.leverage, "gross_at_decided_leverage": audit.exposure_decided,
        },
        "limits_passed": audit.breaches,
        "rows": [asdict(row) for row in audit.rows],
    }  # fmt: skip
    if steps is not None:
        said["fix"] = [
            {"symbol": s.row.symbol, "set": s.words, "fixed": s.done, "reason": s.outcome}
            for s in steps
        ]
    found: dict[str, Any] = _finite(said)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(path: Path, audit: Audit) -> Path:
    """One line for each symbol, in the units of :class:`AuditRow`; empty: not known or flat."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_finite(asdict(row)) for row in audit.rows)
    return put_text(path, text.getvalue())
