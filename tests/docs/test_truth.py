"""What the pages name exists, what they take from the code is up to date, figures are right."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import leverpack
from docs import remake
from leverpack.candles import faults
from tests.conftest import ROOT
from tests.docs.desk import FILES
from tests.docs.pages import PAGES, blocks, headings, inlines, name_of

MADE_BY_COMMANDS = (
    "reports/", "golden_cross.py", "test_golden_cross.py", "result.json", "report.html",
    "trades.csv", "margin.csv", "series.parquet", "chart.png", "sweep.parquet", "sweep.html",
)  # fmt: skip
OF_A_USER = ("leverpack.toml", ".env", ".venv/bin")
_PATH = re.compile(r"^[\w.\-]+(/[\w.\-]+)+/?$|^[\w\-]+\.(py|md|csv|parquet|ipynb|json|html)$")
_OPTION = re.compile(r"^(--[a-z-]+)(?: .*)?$")
_CAMEL = re.compile(r"^[A-Z][a-z]+(?:[A-Z][A-Za-z]*)+$")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in inlines(page, "link_open"):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in headings(there), f"{name_of(page)}: no heading for {target}"
    for picture in inlines(page, "image"):
        assert (page.parent / picture).is_file(), f"{name_of(page)} shows {picture}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_options_and_classes_that_are_named_exist(page: Path) -> None:
    users = {Path(name).name for name in FILES} | set(OF_A_USER)
    for code in inlines(page, "code_inline"):
        if _PATH.match(code) and not code.startswith(MADE_BY_COMMANDS) and code not in users:
            near = [ROOT / code, page.parent / code]
            assert any(path.exists() for path in near), f"{name_of(page)} names {code}"
        option = _OPTION.match(code)
        if option:
            assert option[1] in _options(), f"{name_of(page)} names the option {code}"
        if _CAMEL.match(code):
            assert _is_class(code), f"{name_of(page)} names {code}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_parameters_that_are_named_exist(page: Path) -> None:
    known = _parameters()
    for code in inlines(page, "code_inline"):
        name, sign, _ = code.partition("=")
        if sign and re.fullmatch(r"[a-z][a-z_]+", name):
            assert name in known, f"{name_of(page)} names the parameter {code}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_made_parts_are_as_the_code_makes_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert remake.remade(text) == text, f"{name_of(page)}: run python docs/remake.py"


def test_every_part_that_can_be_made_is_on_a_page() -> None:
    used = [part for page in PAGES for part in remake.parts_of(page.read_text())]
    assert sorted(used) == sorted(remake.MADE)


def test_the_settings_page_shows_what_the_command_says(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['leverpack', 'config', '--json']; import leverpack.cli as c; "
    done = subprocess.run(
        [sys.executable, "-c", code + "c.run()"], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = {cells[1]: cells for cells in _rows(page) if cells[1].startswith("`")}
    said = json.loads(done.stdout)["settings"]
    assert list(rows) == [f"`{s['name']}`" for s in said]
    for setting in said:
        _, _, default, unit, names, about, _ = rows[f"`{setting['name']}`"]
        assert (unit, about) == (setting["unit"], setting["description"])
        assert names == ", ".join(f"`{n}`" for n in setting["env"])
        value = setting["value"]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if default.strip("`") != setting["nothing"]:
            assert default.strip("`") in (text, f"{value:.10g}" if not _is_word(value) else text)


def test_every_strategy_and_venue_has_its_place() -> None:
    from leverpack.margin.profiles import PROFILES
    from strategies import STRATEGIES

    assert set(STRATEGIES) <= headings(ROOT / "docs" / "strategies.md")
    model = (ROOT / "docs" / "margin-model.md").read_text()
    assert set(PROFILES) <= {cells[1].strip("`") for cells in _rows(model)}


# -- findings ------------------------------------------------------------------------------------


def _findings_in_code() -> dict[str, set[str]]:
    """Code of a finding -> the severities with which the candle rooms make it."""
    found: dict[str, set[str]] = {code: {"error"} for code in faults.CODES[1:]}
    for path in sorted((ROOT / "leverpack" / "candles").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"):
                continue
            if not node.args:  # Finding(**saved): one that was made before
                continue
            severity, code = node.args[:2]
            for name in _names(code):
                found.setdefault(name, set()).update(
                    x.value for x in ast.walk(severity)
                    if isinstance(x, ast.Constant) and x.value in ("info", "warning", "error")
                )  # fmt: skip
    return found


def _names(code: ast.expr) -> list[str]:
    if isinstance(code, ast.Constant):
        return [str(code.value)]
    text = ast.unparse(code)
    if text == "CODES[code]":
        return []
    several = {"f'written_{how}'": ("thousands", "suffix", "percent", "currency"),
               "f'no_{what}'": ("high", "low")}  # fmt: skip
    prefix = text[2:].split("{")[0]
    return [prefix + end for end in several[text]]


def test_every_finding_is_explained_with_its_severity() -> None:
    made = _findings_in_code()
    page = (ROOT / "docs" / "data-formats.md").read_text()
    shown = {c[1].strip("`"): c for c in _rows(page) if len(c) == 6 and c[1].startswith("`")}
    assert sorted(shown) == sorted(made)
    for code, severities in made.items():
        said = set(shown[code][2].split(", "))
        assert severities <= said, f"{code} is made as {severities}, the page says {said}"
        assert all(shown[code][3:5]), code


# -- figures -------------------------------------------------------------------------------------


def test_the_guides_table_has_the_right_figures() -> None:
    """Each printed figure, worked out here; what happens in a run is tests/strategies' part."""
    from leverpack.margin.funding import funding_cash
    from leverpack.margin.liquidation import linear_liquidation_price
    from leverpack.margin.ratios import margin_level, margin_ratio
    from leverpack.risk.leverage import volatility_factor
    from leverpack.risk.sizing import guide_size, risk_size

    size = risk_size(10_000, 0.01, 50_000, 0.03)
    printed = guide_size(10_000, 0.01, 50_000, 0.03, 2)
    end = linear_liquidation_price(1.0, 1.0, 50_000.0, 10_000.0, 0.1, 0.0, 0.0, 0.0, 0.0)
    # 1 BTC from 50,000, equity 10,000; the guide's used margin is 20 % of the notional
    warned = 40_000.0 / (1.0 - 0.15 * 0.2)
    here = 40_000.0 / (1.0 - 0.1 / 0.8)
    assert margin_level(warned - 40_000.0, 0.2 * warned) == pytest.approx(0.15)
    assert margin_ratio(0.1 * here, here - 40_000.0) == pytest.approx(0.8)
    guides = 50_000.0 * (1.0 - ((10_000.0 - 3_000.0) / 50_000.0 - 0.1))
    year = -sum(funding_cash(1.0, 3.0, 1.0, 0.0001) for _ in range(3 * 365))
    figures = {
        "divides the size": (f"{printed:.4f} BTC", f"{size:.4f} BTC",
                             f"risks {printed * 1_500 / 10_000:.1%}".replace("%", " %")),
        "takes the signal's close": (f"loses {int(size * (50_400 - 48_500))}, not 100",),
        "liquidation price from live": (f"{guides:,.0f}", f"{end:,.0f}"),
        "no funding": (f"{year:.0%}".replace("%", " %"),),
        "a yearly volatility": (f"{60 / 365**0.5:.2f} % a day", f"{volatility_factor(0.6, 0.02)}",
                                f"{volatility_factor(0.6, 0.02 * 365**0.5):.2f}"),
        "sqrt(252)": (f"{252**0.5:.1f}", f"{(365 * 96)**0.5:.1f}"),
        "equity / used margin": (f"{int(warned):,}", f"{end:,.0f}", f"{here:,.0f}"),
        "cuts 30 %": (f"1, {0.7:g}, {0.7 * 0.7:.2g}, ...",),
    }  # fmt: skip
    rows = _rows((ROOT / "docs" / "strategies.md").read_text())
    for start, wanted in figures.items():
        (row,) = [cells for cells in rows if len(cells) == 5 and cells[1].startswith(start)]
        for figure in wanted:
            assert figure in row[2] + row[3], f"{start}: {figure}"


def test_the_report_page_explains_every_figure_chart_and_column() -> None:
    from leverpack.report.charts import run_charts
    from leverpack.report.summary import key_figures
    from leverpack.report.tradetable import COLUMNS

    result = remake.fixed_result()
    text = (ROOT / "docs" / "report.md").read_text()
    rows = {cells[1] for cells in _rows(text)}
    assert {figure.name for figure in key_figures(result)} <= rows
    bold = set(re.findall(r"\*\*([^*]+)\*\*", re.sub(r"\s+", " ", text)))
    assert {chart.title for chart in run_charts(result).charts} <= bold
    plain = {"symbol", "side", "entry", "at", "exit", "size", "leverage", "fees", "funding", "held"}
    assert {column.name for column in COLUMNS} - plain <= bold


def test_the_guides_table_stands_once() -> None:
    row = "divides the size by the leverage |"
    assert [name_of(p) for p in PAGES if row in p.read_text()] == ["docs/strategies.md"]


def test_what_the_readme_counts() -> None:
    from leverpack.margin.profiles import PROFILES

    readme = (ROOT / "README.md").read_text()
    guide = (ROOT / "docs" / "strategies.md").read_text().split("## The guide's")[1]
    kinds = [profile.kind for profile in PROFILES.values()]
    assert len(_rows(guide)) == 13 + 1  # and the header
    assert (len(kinds), kinds.count("perpetual")) == (7, 5)
    assert "fails in thirteen ways" in readme
    assert "Seven venues: five perpetual" in readme


def test_the_pages_run_is_the_one_of_make_backtest() -> None:
    recipe = re.search(r"^backtest:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe is not None
    words = recipe[1].replace("\\\n", " ").split()[2:-2]
    here = [str(Path(w).relative_to(ROOT)) if w.startswith("/") else w for w in remake.FIXED_RUN]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    assert sorted(pairs) == sorted(zip(here[::2], here[1::2], strict=True))


def test_the_map_of_the_house_is_true() -> None:
    readme = ROOT / "README.md"
    (house,) = [b.text for b in blocks(readme) if "strategies/ " in b.text and "tests/" in b.text]
    rooms, inside = set(), set()
    for line in house.splitlines():
        name = line.split()[0]
        if line.startswith("  "):
            inside.add(name)
        elif not line.startswith(" "):
            rooms.add(name)
    for name in rooms:
        assert (ROOT / name).exists(), name
    for name in inside:
        assert (ROOT / "leverpack" / name).exists(), name
    packages = {f"{p.parent.name}/" for p in (ROOT / "leverpack").glob("*/__init__.py")}
    assert packages == {name for name in inside if name.endswith("/")}


# -- helpers -------------------------------------------------------------------------------------


def _rows(text: str) -> list[list[str]]:
    """The cells of every table row; the first and last are empty."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)] for line in lines]


def _is_word(value: Any) -> bool:
    return isinstance(value, (str, bool)) or value is None


def _options() -> set[str]:
    return set(re.findall(r"`(--[a-z-]+)`", remake.commands())) | {"--help", "--debug"}


def _is_class(name: str) -> bool:
    import analyzers
    import strategies
    from leverpack.candles import series
    from leverpack.margin import profiles, tiers

    rooms = (leverpack, strategies, analyzers, series, profiles, tiers)
    return any(hasattr(room, name) for room in rooms)


def _parameters() -> set[str]:
    from dataclasses import fields

    from leverpack.backtest.settings import BacktestSettings
    from strategies import STRATEGIES, LeverageStrategy

    kinds: list[Any] = [*STRATEGIES.values(), LeverageStrategy, leverpack.MarginBroker,
                        leverpack.CandleFeed]  # fmt: skip
    known = {name for kind in kinds for name in kind.params._getkeys()}
    return known | {f.name for f in fields(BacktestSettings)} | {"reduce_only", "strict", "fill"}

