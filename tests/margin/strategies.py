"""Random but consistent margin inputs for the property tests."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from leverpack.margin.tiers import next_maintenance_amount


@dataclass(frozen=True)
class Columns:
    """A consistent tier table as the scalar functions take it."""

    caps: tuple[float, ...]
    mmrs: tuple[float, ...]
    cums: tuple[float, ...]


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    """One to six tiers with rising caps and rates, maintenance amounts by the formula."""
    count = draw(st.integers(1, 6))
    steps = draw(st.lists(st.floats(1.2, 20.0), min_size=count, max_size=count))
    rises = draw(st.lists(st.floats(0.0, 0.08), min_size=count, max_size=count))
    cap, mmr, cum = draw(st.floats(100.0, 1e6)), draw(st.floats(0.0, 0.02)), 0.0
    caps, mmrs, cums = [cap], [mmr], [cum]
    for step, rise in zip(steps[1:], rises[1:], strict=True):
        cum = next_maintenance_amount(cum, cap, mmr, mmr + rise)
        cap, mmr = cap * step, mmr + rise
        caps.append(cap)
        mmrs.append(mmr)
        cums.append(cum)
    return Columns(tuple(caps), tuple(mmrs), tuple(cums))


sides = st.sampled_from((1.0, -1.0))
sizes = st.floats(1e-3, 1e4)
prices = st.floats(1e-2, 2e5)
leverages = st.floats(1.0, 150.0)
fees = st.sampled_from((0.0, 0.0005, 0.001))
