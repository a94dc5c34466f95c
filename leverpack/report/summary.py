"""How close did I come? The few figures and the sentence that the page and the table show."""

from __future__ import annotations

from leverpack.report import words
from leverpack.result import BacktestResult


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
        return "No position was ever held, so nothing came near liquidation."
    when = words.moment(totals["nearest_liquidation_time"])
    return (
        f"No liquidation. At its nearest, on {when}, the price was "
        f"{words.percent(nearest)} away from liquidating a position."
    )


def key_figures(result: BacktestResult) -> list[tuple[str, str, str]]:
    """The six figures at the top: name, value, explanation."""
    t = result.totals
    nearest, when = t["nearest_liquidation"], t["nearest_liquidation_time"]
    return [
        ("Return", words.percent(t["return"], sign=True),
         f"{words.money(t['start_equity'])} became {words.money(t['end_equity'])}"),
        ("Worst drawdown", words.percent(t["max_drawdown"]), "of equity, from its highest close"),
        ("Highest margin ratio", words.percent(t["worst_margin_ratio"]),
         "100 % is liquidation"),
        ("Nearest liquidation", words.percent(nearest),
         "of the price" + (f", {words.moment(when)}" if when is not None else "")),
        ("Cost of leverage", words.money(t["cost_of_leverage"]),
         "fees, funding, interest and liquidation fees"),
        ("Liquidations / calls", f"{t['liquidations']} / {t['margin_calls']}",
         "positions closed by force / times the margin ran low"),
    ]  # fmt: skip


def summary_rows(result: BacktestResult) -> list[tuple[str, str]]:
    """The result table of the command line: the page's figures and the bill behind them."""
    t, run = result.totals, result.run
    rows = [("candles", f"{run['bars']:,} from {words.from_iso(run['first'])} "
             f"to {words.from_iso(run['last'])}")]
    rows += [(name, f"{value}  ({note})") for name, value, note in key_figures(result)]
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
    return rows
