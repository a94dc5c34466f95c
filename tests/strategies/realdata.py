"""The shared real candles as sets: trade, mark and funding of one symbol over one time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import shared_dir

_NAME = re.compile(r"(\w+?)_([A-Z]+USDT)_(perp|mark|funding)_?(\w*?)_(\d{8})_(\d{8})\.parquet")


@dataclass(frozen=True)
class RealSet:
    """Files of one symbol that belong together; mark and funding None where there are none."""

    symbol: str
    timeframe: str
    trade: Path
    mark: Path | None
    funding: Path | None

    def __str__(self) -> str:
        return self.trade.stem


def real_sets() -> list[RealSet]:
    """Every perpetual's trade file with the funding and the finest mark that cover its time."""
    folder = shared_dir() / "data" / "perp"
    found = [(m.groups(), folder / m[0]) for m in
             (_NAME.fullmatch(p.name) for p in sorted(folder.glob("*.parquet"))) if m]  # fmt: skip

    def companion(kind: str, symbol: str, first: str, last: str) -> Path | None:
        covering = [
            (g[3] != "1h", path) for g, path in found
            if g[2] == kind and g[1] == symbol and g[4] <= first and g[5] >= last
        ]  # fmt: skip
        return min(covering)[1] if covering else None

    return [
        RealSet(
            g[1], g[3], path, companion("mark", g[1], g[4], g[5]),
            companion("funding", g[1], g[4], g[5]),
        )
        for g, path in found
        if g[2] == "perp"
    ]  # fmt: skip
