"""``leverpack margin``: the calculator, and the check of published figures."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from leverpack.errors import SettingError


def margin(
    symbol: Annotated[str | None, typer.Option(help="BTC/USDT:USDT; or give --mmr.")] = None,
    side: Annotated[str, typer.Option(help="long or short.")] = "long",
    entry: Annotated[float | None, typer.Option(help="Entry price.")] = None,
    size: Annotated[float | None, typer.Option(help="Base units.")] = None,
    stake: Annotated[float | None, typer.Option(help="Margin in quote, instead of size.")] = None,
    leverage: Annotated[float, typer.Option(help="Leverage.")] = 1.0,
    mode: Annotated[str, typer.Option(help="isolated or cross.")] = "isolated",
    wallet: Annotated[float | None, typer.Option(help="Wallet balance, quote.")] = None,
    extra_margin: Annotated[float, typer.Option(help="Added to an isolated position.")] = 0.0,
    other: Annotated[
        list[str] | None,
        typer.Option(help="Another cross position, side:size:entry:mark:symbol; repeatable."),
    ] = None,
    venue: Annotated[str, typer.Option(help="binanceusdm, bybit, okx, ...")] = "binanceusdm",
    when: Annotated[str | None, typer.Option("--date", help="Date of the tier table.")] = None,
    tiers: Annotated[Path | None, typer.Option(help="Another tier table.")] = None,
    mmr: Annotated[float | None, typer.Option(help="Maintenance margin rate, fraction.")] = None,
    maintenance_amount: Annotated[float, typer.Option(help="Beside --mmr, quote.")] = 0.0,
    max_leverage: Annotated[float | None, typer.Option(help="Beside --mmr.")] = None,
    taker: Annotated[float, typer.Option(help="Taker fee, fraction.")] = 0.0005,
    funding_rate: Annotated[float, typer.Option(help="Per settlement, fraction.")] = 0.0001,
    funding_hours: Annotated[float, typer.Option(help="Hours between settlements.")] = 8.0,
    vectors: Annotated[Path | None, typer.Option(help="Check a file of published figures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Margin, liquidation and carrying cost of a planned position; or --vectors FILE.

    Exit code 1 when a published figure is off.
    """
    if vectors is not None:
        _check_vectors(vectors, as_json)
        return
    if entry is None:
        raise SettingError("--entry is needed: the entry price")
    from leverpack.margin.calculator import calculate
    from leverpack.margin.tiers import read_tiers

    answer = calculate(
        symbol=symbol, side=side, entry=entry, size=size, stake=stake, leverage=leverage,
        mode=mode, wallet=wallet, extra_margin=extra_margin, others=_others(other or []),
        venue=venue, when=_date(when), tiers=read_tiers(tiers) if tiers else None, mmr=mmr,
        maintenance_amount=maintenance_amount, max_leverage=max_leverage, taker_fee=taker,
        funding_rate=funding_rate, funding_interval_hours=funding_hours,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), indent=2))
        return
    from leverpack.cli.table import print_pairs

    title = f"{answer.side} {answer.size:,.8g} {answer.symbol} at {answer.entry:,.8g}"
    print_pairs(f"{title}, {answer.leverage:g}x {answer.mode} on {answer.venue}", _rows(answer))
    for assumed in answer.assumptions:
        typer.echo(f"assumed: {assumed}")


def _rows(answer: Any) -> list[tuple[str, str]]:
    price = answer.liquidation_price
    tier = "as given" if answer.tier is None else f"tier {answer.tier}"
    return [
        ("notional", f"{answer.notional:,.2f}"),
        ("initial margin", f"{answer.initial_margin:,.2f}"),
        ("maintenance margin", f"{answer.maintenance_margin:,.2f}"),
        ("rate and amount", f"{answer.maintenance_margin_rate:.3%}, "
                            f"{answer.maintenance_amount:,.2f} ({tier})"),
        ("highest leverage there", f"{answer.max_leverage:g}x"),
        ("margin ratio at entry", f"{answer.margin_ratio:.2%}"),
        ("liquidation price", "none" if price is None else f"{price:,.8g}"),
        ("move that liquidates",
         "none" if answer.move_percent is None else f"{answer.move_percent:+.2f} %"),
        ("bankruptcy price", f"{answer.bankruptcy_price:,.8g}"),
        ("fees in and out", f"{answer.round_trip_fee:,.2f} "
                            f"({answer.round_trip_fee_percent_of_margin:.2f} % of margin)"),
        ("funding a day", f"{answer.funding_day:+,.2f} "
                          f"({answer.funding_day_percent_of_margin:+.2f} % of margin)"),
    ]  # fmt: skip


def _others(texts: list[str]) -> list[Any]:
    from leverpack.margin.calculator import OtherPosition

    others = []
    for text in texts:
        parts = text.split(":", 4)
        try:
            side, size, entry, mark = parts[0], *map(float, parts[1:4])
        except ValueError:
            side = ""
        if side not in ("long", "short") or len(parts) < 4:
            raise SettingError(
                f"--other {text!r}: write side:size:entry:mark:symbol, "
                "as in long:1:50000:51000:BTCUSDT"
            )
        others.append(OtherPosition(side, size, entry, mark, parts[4] if len(parts) > 4 else ""))
    return others


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--date {text}: write 2025-01-31") from None


def _check_vectors(path: Path, as_json: bool) -> None:
    from leverpack.margin.vectors import count_verdicts, evaluate_file

    cases = evaluate_file(path)
    if as_json:
        typer.echo(json.dumps([c.to_dict() for c in cases], indent=2))
    else:
        from leverpack.cli.table import print_table

        print_table(
            str(path),
            ("id", "expected", "computed", "difference", "verdict"),
            [
                (c.id, _figure(c.expected), _figure(c.computed), _figure(c.difference), c.verdict)
                for c in cases
            ],
        )
        counts = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(cases).items())
        typer.echo(f"{len(cases)} figures: {counts}")
    if not all(c.ok for c in cases):
        raise typer.Exit(1)


def _figure(value: float | str | None) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str("" if value is None else value)
