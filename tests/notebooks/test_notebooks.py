"""The notebooks run from top to bottom, say what they promise, and carry no outputs in git."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = ("adaptive_leverage.ipynb", "backtest.ipynb", "margin_report.ipynb")
A_CELL = 120  # seconds on a busy machine; all cells of a notebook together stay under a minute
SAYS = {
    "adaptive_leverage.ipynb": r"volatility +smaller drawdown in \d of \d years",
    "backtest.ipynb": r"asked for 50x, got \d+\.\dx to \d+\.\dx\nliquidations: 0",
    "margin_report.ipynb": r"In (\d+) of \1 trades the liquidation price lay in front of the stop",
}
PICTURES = {"adaptive_leverage.ipynb": 2, "backtest.ipynb": 2, "margin_report.ipynb": 3}


def test_these_are_all_the_notebooks() -> None:
    assert sorted(p.name for p in FOLDER.glob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_stripped(name: str) -> None:
    book = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(book)
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert set(book.metadata.language_info) == {"name"}  # no version of whoever ran it last
    for cell in book.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_are_tidy(name: str) -> None:
    book = nbformat.read(FOLDER / name, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            ast.parse(re.sub(r"^%", "#", cell.source, flags=re.M))
        for line in cell.source.splitlines():
            assert len(line) <= 115, line
            assert line == line.rstrip(), line
    words = " ".join(c.source for c in book.cells if c.cell_type == "markdown")
    assert "made by a program" in words.replace("**", "")
    figures = re.findall(r"(?<![\w.`])[-+]?\d[\d,.]*\s?%", words)
    assert set(figures) <= {"1 %", "3 %", "6 %", "9 %", "4 %", "100 %"}, "figures are computed"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    before = {p: p.stat().st_mtime_ns for p in FOLDER.iterdir()}
    book = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(
        book, timeout=A_CELL, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    outputs = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    told = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    assert re.search(SAYS[name], told), told
    warned = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stderr")
    assert "Warning" not in warned, warned
    shown = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(shown) == PICTURES[name]
    assert all(len(o.data["image/png"]) > 10_000 for o in shown), "a picture is empty"
    assert before == {p: p.stat().st_mtime_ns for p in FOLDER.iterdir()}
