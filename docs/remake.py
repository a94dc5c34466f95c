"""Writes what the pages take from the code, and the pictures, anew: python docs/remake.py."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
DATA = ROOT / "data"
_PART = re.compile(r"(<!-- made: (?P<what>[a-z_ -]+) -->\n).*?(<!-- /made -->)", re.S)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1280  # of a picture: sharp enough to read, and small
FIXED_RUN = [
    "--data", str(DATA / "made_BTCUSDT_1h_2025.csv"),
    "--mark", str(DATA / "made_BTCUSDT_mark_1h_2025.csv"),
    "--funding", str(DATA / "made_BTCUSDT_funding_2025.csv"),
    "--symbol", "BTC/USDT:USDT", "--strategy", "conservative", "--leverage", "12",
    "--cash", "10000", "--param", "risk_per_trade=0.04", "--param", "stop_loss_pct=0.09",
    "--param", "take_profit_pct=0.12",
]  # fmt: skip
"""The run of `make backtest`, which the pages show."""


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; a bar inside a cell is written so that it stays one."""
    lines = [headers, ["---"] * len(headers), *rows]
    cells = ([str(c).replace("|", "\\|") for c in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def settings() -> str:
    """Every setting with its default, unit, environment names and meaning."""
    from leverpack.config import describe

    rows = []
    for row in describe():
        value = row.nothing if row.nothing and not row.value else f"`{_plain(row.value)}`"
        names = ", ".join(f"`{name}`" for name in row.env)
        rows.append((f"`{row.name}`", value, row.unit, names, row.description))
    return table(("setting", "default", "unit", "environment", "what it is"), rows)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def parameters(name: str = "") -> str:
    """The parameters that a strategy adds or sets otherwise than the base; "": the base's."""
    from strategies import STRATEGIES, LeverageStrategy
    from strategies.units import UNITS

    base = dict(LeverageStrategy.params._getitems())
    own = dict(STRATEGIES[name].params._getitems()) if name else base
    rows = [
        (f"`{key}`", f"`{value}`", UNITS[key])
        for key, value in own.items()
        if not name or key not in base or base[key] != value
    ]
    return table(("parameter", "default", "unit"), rows)


def presets() -> str:
    """The presets of the micro stake."""
    from strategies.micro_stake import PRESETS

    rows = [
        (f"`{name}`", f"{p.leverage:g}x", f"{p.stop_loss_pct:.2%}", f"{p.take_profit_pct:.2%}",
         p.max_bars, f"{p.fast_period}, {p.slow_period}")
        for name, p in PRESETS.items()
    ]  # fmt: skip
    headers = ("preset", "leverage", "stop", "target", "candles at most", "periods")
    return table(headers, rows)


def venues() -> str:
    """What each venue of a backtest does."""
    from leverpack.margin.profiles import PROFILES

    rows = []
    for name, p in PROFILES.items():
        carrying = "funding" if p.funding else f"interest {p.interest_hourly:.4%} an hour"
        if p.rollover_fee:
            carrying = f"{p.opening_fee:.2%} to open, {p.rollover_fee:.2%} every 4 hours"
        cap = "the tiers'" if p.max_leverage == float("inf") else f"{p.max_leverage:g}x"
        fee = "the tiers'" if p.liquidation_fee is None else f"{p.liquidation_fee:.3%}"
        fees = f"{p.maker:.3%} / {p.taker:.3%}"
        rows.append((f"`{name}`", p.kind, p.rule_said, fees, carrying, fee, cap))
    headers = ("venue", "kind", "rule", "maker / taker", "holding costs", "clearance fee", "cap")
    return table(headers, rows)


def statistics() -> str:
    """The figures of the report, each with its definition, as the run itself states them."""
    return table(
        ("figure", "unit", "definition"),
        [(s.name, s.unit, s.definition) for s in fixed_result().statistics],
    )


@cache
def fixed_result() -> Any:
    """The result of the run that the pages show."""
    from leverpack.backtest.run import run_backtest
    from leverpack.backtest.settings import BacktestSettings

    given = dict(zip(FIXED_RUN[::2], FIXED_RUN[1::2], strict=True))
    pairs = zip(FIXED_RUN[::2], FIXED_RUN[1::2], strict=True)
    params = dict(text.split("=") for option, text in pairs if option == "--param")
    return run_backtest(BacktestSettings(
        data=Path(given["--data"]), mark=Path(given["--mark"]), funding=Path(given["--funding"]),
        symbol=given["--symbol"], strategy=given["--strategy"],
        leverage=float(given["--leverage"]), cash=float(given["--cash"]), params=params,
    ))  # fmt: skip


@cache
def commands() -> str:
    """Every command with its arguments and options, as the command line itself has them."""
    import typer.main

    from leverpack.cli import app

    top: Any = typer.main.get_command(app)
    return "\n".join(_command(["leverpack"], top.commands[name]) for name in top.commands)


def _command(path: list[str], command: Any) -> str:
    path = [*path, command.name]
    children = getattr(command, "commands", None)
    if children:
        return "\n".join(_command(path, children[name]) for name in children)
    rows = []
    for p in command.params:
        if p.name == "help":
            continue
        option = p.param_type_name == "option"
        names = [*p.opts, *(p.secondary_opts if p.default is True else ())]
        name = ", ".join(f"`{o}`" for o in names) if option else f"`{p.metavar or p.name.upper()}`"
        default = "" if p.default in (None, False, ()) or callable(p.default) else p.default
        needed = "needed" if p.required else (f"`{default}`" if default != "" else "")
        rows.append((name, needed, (p.help or "").replace("\n", " ")))
    about = (command.help or "").strip().replace("\n\n", "\n").replace("\n", " ")
    title = " ".join(path)
    return f"### {title}\n\n{about}\n\n" + table(("option", "default", "what it is"), rows)


MADE: dict[str, Callable[[], str]] = {
    "settings": settings,
    "venues": venues,
    "presets": presets,
    "statistics": statistics,
    "commands": commands,
    "parameters": parameters,
    **{
        f"parameters {name}": lambda name=name: parameters(name)  # type: ignore[misc]
        for name in ("conservative", "adaptive", "margin_monitor", "micro_stake",
                     "confidence_ladder")
    },
}  # fmt: skip


def remade(text: str) -> str:
    """A page's text with its made parts written anew."""
    return _PART.sub(lambda m: f"{m[1]}\n{MADE[m['what']]()}\n{m[3]}", text)


def parts_of(text: str) -> list[str]:
    """The names of the made parts of a page."""
    return [m["what"] for m in _PART.finditer(text)]


def main() -> None:
    """Rewrite the pages in docs/, then the pictures unless --no-pictures is given."""
    from leverpack.files import put_text

    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        new = remade(text)
        if new != text:
            put_text(page, new)
            print(f"{page.name}: written anew")
    if "--no-pictures" not in sys.argv[1:]:
        pictures()


def pictures() -> None:
    """docs/img: the first screen of the report (needs Chromium) and its chart."""
    from leverpack.report import write_report

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder:
        written = write_report(fixed_result(), Path(folder))
        _save(written["picture"], "chart.png")
        if browser is None:
            raise SystemExit(f"report.png needs one of {', '.join(BROWSERS)}; the rest is done")
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--window-size=1180,1230", "--virtual-time-budget=8000", f"--screenshot={shot}",
             written["page"].as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        _save(shot, "report.png")


def _save(source: Path, name: str) -> None:
    from PIL import Image

    with Image.open(source) as picture:
        picture = picture.convert("RGB")
        if picture.width > WIDTH:
            picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
        target = DOCS / "img" / name
        picture.save(target, optimize=True)
    print(f"{name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
