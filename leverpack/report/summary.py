"""How close did I come? The few figures and the sentence that the page and the table show."""

from __future__ import annotations

from typing import NamedTuple

from leverpack.report import words
from leverpack.result import BacktestResult


class Figure(NamedTuple):
    """One figure: ``text`` is shown, ``value`` is the number as result.json has it."""

    key: str
    name: str
    text: str
    note: str
    value: float | int | str  # "" where there is none
    mood: str = ""  # "good" or "bad" where the sign says so


def run_title(result: BacktestResult) -> str:
    """Strategy, symbols and length of the candles."""
    run = result.run
    return f"{run['strategy']} on {', '.join(run['symbols'])} {run['timeframe']}"


def headline(result: BacktestResult) -> str:
    """The answer in plain words."""
    totals = result.totals
    if result.liquidations:
        first = result.liquidations[0]
        lost = sum(t.net for t in result.trades if t.reason == "liquidation")
        times = words.count(totals["liquidations"], "position")
        return (
            f"{times} {'was' if totals['liquidations'] == 1 else 'were'} liquidated, the first on "
            f"{words.moment(first.time)}: {first.symbol} {first.side} at "
            f"{words.price(first.price)}. Those trades cost {words.money(-lost)}."
        )
    nearest = totals["nearest_liquidation"]
    if nearest is None:
        if totals["worst_margin_ratio"] is None:
            return "No position was ever held, so nothing came near liquidation."
        return "No liquidation: no price could have liquidated what was held."
    when = words.moment(totals["nearest_liquidation_time"])
    return (
        f"No liquidation. At its nearest, on {when}, the price was "
        f"{words.percent(nearest)} away from liquidating a position."
    )


def key_figures(result: BacktestResult) -> list[Figure]:
    """The six figures at the top."""
    t = result.totals
    nearest, when, worst = t["nearest_liquidation"], t["nearest_liquidation_time"], (
        t["worst_margin_ratio"]
    )  # fmt: skip
    start, cost = t["start_equity"], t["cost_of_leverage"]
    return [
        Figure("return", "Return", words.percent(t["return"], sign=True),
               f"{words.money(start)} became {words.money(t['end_equity'])}", t["return"],
               "good" if t["return"] > 0.0 else "bad" if t["return"] < 0.0 else ""),
        Figure("max_drawdown", "Worst drawdown", words.percent(t["max_drawdown"]),
               "of equity, from its highest close", t["max_drawdown"]),
        Figure("worst_margin_ratio", "Lowest headroom",
               words.percent(None if worst is None else max(0.0, 1.0 - worst)),
               "no position was held" if worst is None else
               f"of margin: the margin ratio reached {words.percent(worst)}, 100 % is liquidation",
               "" if worst is None else worst),
        Figure("nearest_liquidation", "Nearest liquidation", words.percent(nearest),
               "of the price" + (f", {words.moment(when)}" if when is not None else ""),
               "" if nearest is None else nearest),
        Figure("cost_of_leverage", "Cost of leverage", words.money(cost),
               f"fees, funding, interest and liquidation fees: {words.percent(cost / start)} of "
               "the deposit", cost),
        Figure("liquidations", "Liquidations / calls",
               f"{t['liquidations']} / {t['margin_calls']}",
               "positions closed by force / times the margin ran low", t["liquidations"]),
    ]  # fmt: skip


def survival_said(result: BacktestResult) -> str:
    """What the runs at other leverages say, in one or two sentences."""
    found = result.survival
    if found is None:
        return ""
    if found.highest is None:
        return "This run was liquidated at every leverage that was tried, 1x included."
    at = f"{found.highest:g}x"
    if found.highest >= found.ceiling:
        return f"No liquidation even at {at}, the highest that venue and tiers allow."
    if not found.complete:
        return f"At {at} this run was not liquidated; higher ones were not all tried."
    return f"At {at} this run was not liquidated; one step higher it was."


def summary_rows(result: BacktestResult) -> list[tuple[str, str]]:
    """The result table of the command line: the page's figures and the bill behind them."""
    t, run = result.totals, result.run
    rows = [("candles", f"{run['bars']:,} from {words.from_iso(run['first'])} "
             f"to {words.from_iso(run['last'])}")]
    rows += [(f.name, f"{f.text}  ({f.note})") for f in key_figures(result)]
    rows += [
        ("trades", f"{t['trades']:,}, of which {t['wins']:,} won"),
        ("fees", words.money(t["fees"])),
        ("funding", f"{words.money(t['funding'], sign=True)} (paid is negative)"),
        ("interest", words.money(t["interest"])),
        ("liquidation fees", f"{words.money(t['liquidation_fees'])}, of which insurance bore "
                             f"{words.money(t['insurance'])}"),
        ("highest effective leverage", f"{t['max_effective_leverage']:.2f}x"),
        ("rejected orders", f"{t['rejected_orders']:,}"),
        ("loop", f"{run['loop']}, {run['bars_per_s'] or 0:,.0f} candles/s with loading"),
        ("how close", headline(result)),
    ]  # fmt: skip
    if result.survival is not None:
        rows.append(("survives", survival_said(result)))
    return rows
