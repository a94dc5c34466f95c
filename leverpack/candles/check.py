"""What the loader sees in files and would do with them: all faults, not just the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leverpack.candles.align import align_mark
from leverpack.candles.faults import OnFault, check_on_fault
from leverpack.candles.filling import Fill, check_fill
from leverpack.candles.reader import load_candles, load_funding
from leverpack.candles.series import Candles, Finding, Funding
from leverpack.candles.spikes import with_marks
from leverpack.candles.stillness import Span, common_halts, idle_spans
from leverpack.errors import DataError, SettingError

KINDS = ("auto", "candles", "mark", "funding")


@dataclass(slots=True)
class Checked:
    """One source that was looked at.

    ``summary`` as Candles.summary or Funding.summary has it, with ``ok``: whether a backtest
    would take the file. A file that cannot be read has ``refused`` (the sentence) instead.
    """

    source: str
    summary: dict[str, Any]
    findings: list[tuple[str, Finding]]  # the path of the file (or of the mark), the finding
    symbol: str = ""
    cover: Span = (0, 0)  # epoch ms, end excluded
    idle: list[Span] | None = None  # None: no trade candles

    @property
    def ok(self) -> bool:
        """Whether a backtest would take the file."""
        return bool(self.summary["ok"])


def check_file(
    path: Any,
    kind: str = "auto",
    on_fault: OnFault = "error",
    *,
    symbol: str | None = None,
    fill: Fill = "none",
    mark: Any = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Read a file of candles, mark candles or funding and tell what was found and done.

    Returns the summary of what was read (see ``Candles.summary``) with ``ok``: whether a
    backtest would accept the file with this ``on_fault``, ``fill`` and ``strict``. Every kind of
    fault is listed once, with its first line and its count. With ``mark`` (mark candles of the
    same symbol) the spikes are judged by it and ``summary["mark"]`` is the mark's own summary.
    Raises DataError when a file is no table of that kind, or the mark is really trade candles.
    """
    return look_at(path, kind, on_fault, symbol=symbol, fill=fill, mark=mark, strict=strict).summary


def look_at(
    path: Any,
    kind: str = "auto",
    on_fault: OnFault = "error",
    *,
    symbol: str | None = None,
    fill: Fill = "none",
    mark: Any = None,
    strict: bool = False,
) -> Checked:
    """As check_file, with the findings as objects and when the market stood still."""
    collect = on_fault == "error"
    read = read_any(path, kind, on_fault, symbol=symbol, fill=fill, collect=collect)
    marked: Candles | None = None
    of_mark: list[Finding] = []
    if mark is not None:
        if isinstance(read, Funding) or read.kind == "mark":
            raise SettingError(f"--mark goes with trade candles, and {path} holds {_sort(read)}")
        marked = load_candles(mark, symbol=symbol, kind="mark", on_fault=on_fault, collect=collect)
        marks = align_mark(read, marked)
        read = with_marks(read, marked, marks)
        of_mark = marked.findings = [*marked.findings, *marks.findings]
    summary = read.summary()
    findings = [(str(path), f) for f in read.findings] + [(str(mark), f) for f in of_mark]
    severities = {f.severity for _, f in findings}
    faulty = on_fault == "error" and "error" in severities
    summary["ok"] = not faulty and not (strict and severities - {"info"})
    if marked is not None:
        summary["mark"] = marked.summary()
    checked = Checked(str(path), summary, findings, read.symbol)
    if isinstance(read, Candles) and read.kind == "trade" and len(read):
        checked.cover = (int(read.ts[0]), int(read.ts[-1]) + read.timeframe_ms)
        checked.idle = idle_spans(read)
    return checked


def look_at_all(
    paths: Iterable[Any],
    kind: str = "auto",
    on_fault: OnFault = "error",
    *,
    symbol: str | None = None,
    fill: Fill = "none",
    strict: bool = False,
) -> list[Checked]:
    """Look at several files, each for itself; one that cannot be read does not stop the others."""
    found = []
    for path in paths:
        try:
            found.append(look_at(path, kind, on_fault, symbol=symbol, fill=fill, strict=strict))
        except DataError as fault:
            summary = {"source": str(path), "ok": False, "refused": str(fault)}
            found.append(Checked(str(path), summary, []))
    return found


def halts_of(checked: Iterable[Checked]) -> list[Span]:
    """When every symbol among several files stood still together, as in a halt of the exchange.

    Times in epoch ms UTC, the end excluded; nothing when the files are of one symbol.
    """
    markets = [(c.cover, c.idle, c.symbol or c.source) for c in checked if c.idle is not None]
    if len({symbol for *_, symbol in markets}) < 2:
        return []
    return common_halts([(cover, idle) for cover, idle, _ in markets])


def refuse_warnings(findings: Sequence[tuple[str, Finding]]) -> None:
    """Raise DataError naming the first warning or error among (path, finding), if there is one."""
    grave = [(source, f) for source, f in findings if f.severity != "info"]
    if grave:
        source, first = grave[0]
        more = f" (and {len(grave) - 1} more)" if len(grave) > 1 else ""
        raise DataError(
            f"{first.message}{more}; --strict refuses what it warns of: correct the file, or "
            "leave --strict out", source=first.source or source, line=first.line,
        )  # fmt: skip


def _sort(read: Candles | Funding) -> str:
    return "funding" if isinstance(read, Funding) else f"{read.kind} candles"


def read_any(
    path: Any,
    kind: str = "auto",
    on_fault: OnFault = "error",
    *,
    symbol: str | None = None,
    fill: Fill = "none",
    collect: bool = False,
) -> Candles | Funding:
    """Read candles, mark candles or funding, whichever a file holds by its name and columns.

    ``kind`` other than "auto" decides it; ``collect`` lists faults as findings instead of raising
    at the first; the rest is as in ``read_candles``. Raises DataError for the file, SettingError
    for a setting.
    """
    check_on_fault(on_fault)
    check_fill(fill)
    if kind not in KINDS:
        raise SettingError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")

    def candles(sort: str) -> Candles:
        return load_candles(
            path, symbol=symbol, kind=sort, on_fault=on_fault, collect=collect, fill=fill
        )

    def funding() -> Funding:
        return load_funding(path, symbol=symbol, on_fault=on_fault, collect=collect)

    kind = _named_kind(path) if kind == "auto" else kind
    if kind == "funding":
        return funding()
    if kind != "auto":
        return candles("mark" if kind == "mark" else "trade")
    try:
        return candles("trade")
    except DataError as refused:
        try:
            return funding()
        except DataError:
            raise refused from None


def _named_kind(path: Any) -> str:
    """What a file's name says it holds; "auto" where it says nothing."""
    name = Path(path).name.lower() if isinstance(path, (str, Path)) else ""
    if "merged" in name:  # trade candles with mark and funding beside them
        return "auto"
    if "funding" in name:
        return "funding"
    return "mark" if "mark" in name.replace("market", "") else "auto"
