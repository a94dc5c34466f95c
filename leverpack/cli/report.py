"""``leverpack report``: the page of a saved or live run, or of several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverpack.errors import SettingError

if TYPE_CHECKING:
    from leverpack.result import BacktestResult


def report(
    runs: Annotated[
        list[Path], typer.Argument(
            metavar="RUN...", help="Folders of backtest --report, or journals of live runs."
        )
    ],
    compare: Annotated[
        bool, typer.Option("--compare", help="One page over all the runs named.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page's file; else report.html or compare.html in the first RUN, of a "
            "journal in a folder beside it."
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Each chart as PNG and SVG, in the folder pictures.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Make the page of a saved or a live run: report RUN; of several: RUN --compare RUN2 ..."""
    if len(runs) > 1 and not compare:
        raise SettingError(f"report: {len(runs)} runs were named; add --compare, or name one")
    if compare and len(runs) < 2:
        raise SettingError("--compare: name a second run, as in report RUN --compare RUN2")
    if out is not None and out.is_dir():
        raise SettingError(f"--out {out}: this is a folder; name a file such as {out}/report.html")
    from leverpack.report.write import write_text

    results = [_read(run) for run in runs]
    if compare:
        from leverpack.report.compare import render_comparison

        html, usual = render_comparison(dict(zip(_names(runs), results, strict=True))), "compare"
    else:
        from leverpack.report.page import render_page

        html, usual = render_page(results[0]), "report"
    page = out or _place(runs[0]) / f"{usual}.html"
    write_text(page, html, "--out")
    if pictures:
        _write_pictures(runs, results)
    typer.echo(f"report: {page}")
    if open_page:
        open_in_browser(page)


def open_in_browser(page: Path) -> None:
    """Open a page in the browser of the system, or say on standard error that there is none."""
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        typer.echo(f"leverpack: warning: no browser was found; open {page} yourself", err=True)


def _read(run: Path) -> BacktestResult:
    """A saved backtest, or a live run from its journal: a file, whatever its name."""
    if run.is_file():
        from leverpack.report.livejournal import read_journal

        return read_journal(run)
    from leverpack.report.saved import read_run

    return read_run(run)


def _place(run: Path) -> Path:
    """Where the files made from a run go: its folder, or one beside its journal."""
    return run.with_name(f"{run.stem}-report") if run.is_file() else run


def _names(runs: list[Path]) -> list[str]:
    """Short names of the runs: the folders' own, with their parents where two are alike."""
    whole = [run.resolve() for run in runs]
    if len(set(whole)) < len(whole):
        raise SettingError("--compare: the same run is named twice")
    deep = 1
    while len({path.parts[-deep:] for path in whole}) < len(whole):
        deep += 1
    return ["/".join(path.parts[-deep:]) for path in whole]


def _write_pictures(runs: list[Path], results: list[BacktestResult]) -> None:
    from leverpack.report.pictures import save

    for folder, result in zip(runs, results, strict=True):
        pictures = _place(folder) / "pictures"
        save(result, pictures)
        typer.echo(f"pictures: {pictures}")
