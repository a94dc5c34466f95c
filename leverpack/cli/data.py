"""``leverpack data``: download, what files hold, the project's own form, and made samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverpack.cli.download import download
from leverpack.errors import SettingError

if TYPE_CHECKING:
    from leverpack.candles.check import Checked

EXIT_REFUSED = 2
app = typer.Typer(help="Download and look at candle, mark and funding files.", no_args_is_help=True)

Kind = Annotated[str, typer.Option(help="auto, candles, mark or funding.")]
Symbol = Annotated[str | None, typer.Option(help="Which, where a table holds several.")]
OnFault = Annotated[str, typer.Option(help="Faulty rows: error, drop or fill.")]
Fill = Annotated[str, typer.Option(help="Missing candles: none, previous or error.")]


@app.callback()
def _data() -> None:
    """Download and look at candle, mark and funding files."""


@app.command("check")
def check(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Candles, mark candles or funding settlements."),
    ],
    mark: Annotated[
        Path | None, typer.Option(help="Mark candles that the spikes are judged by.")
    ] = None,
    kind: Kind = "auto",
    symbol: Symbol = None,
    on_fault: OnFault = "error",
    fill: Fill = "none",
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is warned of.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what files hold: columns, unit, order, gaps, duplicates, faults and treatment.

    Exit code 0 when a backtest would take every file, 2 when it would not.
    """
    from leverpack.candles.check import look_at, look_at_all, refuse_warnings

    how: dict[str, Any] = {"symbol": symbol, "strict": strict, **_treatment(on_fault, fill)}
    if len(files) == 1:
        found = look_at(files[0], kind, mark=mark, **how)
        if as_json:
            _print_json(found.summary)
        else:
            _show(found.source, found.summary)
        if strict:
            refuse_warnings(found.findings)
        if not found.ok:
            raise typer.Exit(EXIT_REFUSED)
        return
    if mark is not None:
        raise SettingError(f"--mark {mark}: it goes with one file of candles, not {len(files)}")
    several = look_at_all(files, kind, **how)
    if as_json:
        _print_json(_several(several))
    else:
        _show_several(several)
    if strict:
        for one in several:
            refuse_warnings(one.findings)
    if not all(one.ok for one in several):
        raise typer.Exit(EXIT_REFUSED)


@app.command("info")
def info(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Candles, mark candles or funding settlements.")
    ],
    kind: Kind = "auto",
    symbol: Symbol = None,
    on_fault: OnFault = "error",
) -> None:
    """Say in a few lines what a file is: symbol, span, prices, volatility, biggest move, gaps."""
    from leverpack.candles.brief import brief
    from leverpack.candles.check import read_any

    for name, value in brief(read_any(file, kind, symbol=symbol, **_treatment(on_fault))):
        typer.echo(f"{name:<13} {value}")


@app.command("convert")
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Any file that check can read.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="Name ending in .parquet, .feather, .csv, .csv.gz")
    ],
    kind: Kind = "auto",
    symbol: Symbol = None,
    on_fault: OnFault = "error",
    fill: Fill = "none",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Write candles, mark candles or funding in leverpack's own columns.

    Times in UTC, rows ascending and unique, numbers as they were read. What was seen and done
    on the way is printed, and kept in the metadata of Parquet and Feather.
    """
    from leverpack.candles.check import read_any
    from leverpack.candles.store import refuse_target, write_series

    refuse_target(target, force=force)  # before anything long is read
    series = read_any(source, kind, symbol=symbol, **_treatment(on_fault, fill))
    write_series(series, target, force=force)
    typer.echo(f"{target}: {len(series):,} rows")
    _show_findings([f.to_dict() for f in series.findings])


@app.command("sample")
def sample(
    folder: Annotated[
        Path | None, typer.Option(help="Where to write; else the project's own data folder.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another market; needs --folder.")] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Compare with the files there, write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
) -> None:
    """Make the sample candles again from their seed: the same bytes each time.

    None of these prices was ever traded. Exit code 1 when --check finds a difference.
    """
    from leverpack.candles.sample import SHIPPED, compare, files, write_samples

    if folder is None and seed is not None and not only_check:
        raise SettingError(f"--seed {seed} makes other candles than the shipped; add --folder")
    if folder is None and not SHIPPED.is_dir():
        raise SettingError("the sample files are not installed with the package; add --folder")
    place = SHIPPED if folder is None else folder
    if not only_check:
        for path in write_samples(place, seed=seed, force=force):
            typer.echo(f"{path} {path.stat().st_size:,} bytes")
        return
    made = files(seed)
    differing = compare(place, made)
    for name in made:
        state = "as made" if name not in differing else "differs"
        typer.echo(f"{name}: {state if (place / name).exists() else 'missing'}")
    if differing:
        raise typer.Exit(1)


app.command("download")(download)


def _treatment(on_fault: str, fill: str = "none") -> dict[str, Any]:
    """How faulty rows and missing candles are treated, or SettingError naming the option."""
    from leverpack.backtest.settings import FILL, ON_FAULT

    for option, value, known in (("--on-fault", on_fault, ON_FAULT), ("--fill", fill, FILL)):
        if value not in known:
            raise SettingError(f"{option} must be one of {', '.join(known)}, not {value!r}")
    return {"on_fault": on_fault, "fill": fill}


# --- what is printed --------------------------------------------------------------------------


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


def _several(checked: list[Checked]) -> dict[str, Any]:
    from leverpack.candles.check import halts_of
    from leverpack.candles.series import iso

    return {
        "ok": all(one.ok for one in checked),
        "files": [one.summary for one in checked],
        "halts": [[iso(start), iso(end)] for start, end in halts_of(checked)],
    }


def _show(name: str, summary: dict[str, Any]) -> None:
    from leverpack.cli.table import print_pairs

    shown = {k: v for k, v in summary.items() if k not in ("findings", "mark")}
    columns = shown.get("columns")
    if isinstance(columns, dict):
        shown["columns"] = ", ".join(f"{k} = {v}" for k, v in columns.items())
    intervals = shown.get("intervals_h")
    if isinstance(intervals, dict):
        shown["intervals_h"] = ", ".join(f"{h} h {n} times" for h, n in intervals.items())
    print_pairs(name, [(k, _plain(v)) for k, v in shown.items()])
    _show_findings(summary["findings"])
    if "mark" in summary:
        _show(summary["mark"]["source"], summary["mark"])


def _show_several(checked: list[Checked]) -> None:
    from leverpack.cli.table import print_table

    rows = []
    for one in checked:
        s = one.summary
        span = f"{str(s['first'])[:16]} to {str(s['last'])[:16]}" if s.get("first") else ""
        grave = [f for _, f in one.findings if f.severity != "info"]
        rows.append(
            (Path(one.source).name, "yes" if one.ok else "no", _plain(s.get("rows", "")), span,
             s.get("timeframe") or "", _plain(s.get("gaps", "")), _plain(s.get("faults", "")),
             str(len(grave)) if "rows" in s else "")
        )  # fmt: skip
    headers = ("file", "ok", "rows", "span", "candles", "gaps", "faults", "warnings")
    print_table(f"{len(checked)} files", headers, rows)
    for one in checked:
        if "refused" in one.summary:
            typer.echo(f"refused: {one.summary['refused']}")
        _show_findings([f.to_dict() for _, f in one.findings], Path(one.source).name)
    for start, end in _several(checked)["halts"]:
        typer.echo(f"all symbols stood still from {start} to {end}: a halt of the exchange")


def _show_findings(findings: list[dict[str, Any]], name: str = "findings") -> None:
    from leverpack.cli.table import print_table

    if findings:
        print_table(
            name,
            ("severity", "what", "line", "count", "treatment"),
            [
                (f["severity"], f["message"], f["line"] or "", f["count"], f["treatment"])
                for f in findings
            ],
        )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.10g}"
    return "none" if value in ([], "", None) else str(value)
