"""Maps: the right number in the right cell, pictures that are pictures, a page that is safe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from leverpack.cli import app
from leverpack.errors import SettingError
from leverpack.sweep import read_results
from leverpack.sweep.mappictures import Listed, best_listed, draw, write_maps
from leverpack.sweep.maps import BINS, SURVIVAL, cell_map, pairs_of
from tests.cli.test_sweep import BASE


def row(leverage: float, stop: float, liquidations: int | None, calmar: float | None) -> Any:
    return {
        "param.leverage": leverage, "param.stop_loss_pct": stop, "liquidations": liquidations,
        "calmar": calmar, "refused": None if liquidations is not None else "too much",
    }  # fmt: skip


ROWS = [
    row(2.0, 0.02, 0, 1.0), row(2.0, 0.02, 1, 3.0), row(2.0, 0.02, 0, 8.0),
    row(10.0, 0.02, 2, -1.0), row(10.0, 0.01, 0, None), row(900.0, 0.01, None, None),
]  # fmt: skip


def test_cells() -> None:
    alive = cell_map(ROWS, SURVIVAL, "leverage", "stop_loss_pct")
    assert (alive.xs, alive.ys) == ((2.0, 10.0), (0.01, 0.02))
    assert np.allclose(alive.values, [[np.nan, 1.0], [2 / 3, 0.0]], equal_nan=True)
    assert alive.counts.tolist() == [[0, 1], [3, 1]]
    calmar = cell_map(ROWS, "calmar", "leverage", "stop_loss_pct")
    assert np.allclose(calmar.values, [[3.0, -1.0]])
    alone = cell_map(ROWS, SURVIVAL, "leverage")
    assert np.allclose(alone.values, [[2 / 3, 0.5]])


def test_many_values_go_into_bins() -> None:
    rows = [row(float(k), 0.01, int(k >= 500), 0.0) for k in range(1_000)]
    found = cell_map(rows, SURVIVAL, "leverage")
    assert found.counts.tolist() == [[50] * BINS]
    assert found.values.tolist() == [[1.0] * (BINS // 2) + [0.0] * (BINS // 2)]
    assert found.xs[0] == pytest.approx(999 / 40)


def test_texts_are_an_axis_too() -> None:
    rows = [{"param.sides": s, "liquidations": k} for k, s in enumerate(("short", "both", "long"))]
    assert cell_map(rows, SURVIVAL, "sides").xs == ("both", "long", "short")


def test_which_pairs() -> None:
    assert pairs_of(ROWS) == [("leverage", "stop_loss_pct")]
    three = [{**r, "param.fast_period": float(k)} for k, r in enumerate(ROWS)]
    assert pairs_of(three) == [
        ("leverage", "stop_loss_pct"), ("leverage", "fast_period"),
        ("stop_loss_pct", "fast_period"),
    ]  # fmt: skip
    assert pairs_of([row(float(k), 0.02, 0, 1.0) for k in range(3)]) == [("leverage", "")]
    assert pairs_of(ROWS[:1]) == pairs_of([]) == []


def test_green_survives_and_red_does_not() -> None:
    rows = [row(1.0, 0.02, 0, 1.0), row(50.0, 0.02, 3, 1.0)]
    figure = draw(cell_map(rows, SURVIVAL, "leverage"))
    image = figure.axes[0].images[0]
    (good, bad) = image.cmap(image.norm(image.get_array()))[0][:, :3]
    assert good[1] > good[0] and bad[0] > bad[1]
    costly = [{**r, "fees": r["liquidations"]} for r in rows]
    low_is_good = draw(cell_map(costly, "fees", "leverage"))
    image = low_is_good.axes[0].images[0]
    (good, bad) = image.cmap(image.norm(image.get_array()))[0][:, :3]
    assert good[1] > good[0] and bad[0] > bad[1]


def test_the_page_is_whole_and_harmless(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> $x_1$"
    paths = write_maps(
        ROWS, "calmar", tmp_path / "maps", title=nasty, notes=[nasty],
        listed=Listed(nasty, [nasty], [[nasty]]), settings={nasty: nasty},
    )  # fmt: skip
    assert [p.name for p in paths] == [
        "survival-leverage-stop_loss_pct.png", "calmar-leverage-stop_loss_pct.png", "sweep.html",
    ]  # fmt: skip
    for path in paths[:-1]:
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
    page = paths[-1].read_text(encoding="utf-8")
    assert "<script" not in page.lower() and page.count("&lt;script&gt;") == 8
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == sorted(p.name for p in paths)


def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    one, two = (
        write_maps(ROWS, "calmar", tmp_path / n, title="t", listed=best_listed(ROWS, "calmar", 3))
        for n in "ab"
    )
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="--report"):
        write_maps(ROWS, "calmar", tmp_path / "file" / "x", title="", listed=Listed("", [], []))


def test_the_command_writes_them_beside_the_results(tmp_path: Path) -> None:
    folder = tmp_path / "swept"
    grid = ("--grid", "leverage=2,30", "--grid", "stop_loss_pct=0.02,0.06", "--workers", "1")
    done = CliRunner().invoke(app, [*BASE, *grid, "--report", str(folder)])
    assert done.exit_code == 0, done.output
    assert "deflated Sharpe ratio" in done.stdout
    assert read_results(folder / "sweep.parquet")[0].num_rows == 4
    page = (folder / "sweep.html").read_text()
    assert "4 sets, 0 of them refused" in page and "deflated Sharpe ratio" in page
    (folder / "sweep.html").unlink()
    again = CliRunner().invoke(app, [*BASE, *grid, "--report", str(folder)])
    assert "of 0 sets run now" in again.stdout and "deflated" not in again.stdout
    assert (folder / "sweep.html").is_file()
    file = tmp_path / "file"
    file.write_text("")
    assert "name a folder" in str(
        CliRunner().invoke(app, [*BASE, *grid, "--report", str(file)]).exception
    )
