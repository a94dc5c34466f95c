"""A folder with the files that the pages speak of, and whoever types the pages' commands in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from leverpack.cli import run
from tests.conftest import ROOT

DATA = ROOT / "data"
FILES = {
    "BTCUSDT-1h.csv": "made_BTCUSDT_1h_2025.csv",
    "BTCUSDT-mark-1h.csv": "made_BTCUSDT_mark_1h_2025.csv",
    "BTCUSDT-funding.csv": "made_BTCUSDT_funding_2025.csv",
    "BTCUSDT-1m.csv.gz": "made_BTCUSDT_1m_crash.csv.gz",
    "BTCUSDT-mark-5m.csv.gz": "made_BTCUSDT_mark_5m_crash.csv.gz",
    "candles/BTCUSDT-1h.csv": "made_BTCUSDT_1h_2025.csv",
}
NEEDS_MORE: dict[str, str] = {
    "leverpack data download": "it asks an exchange; its own tests ask a local one",
    "leverpack live": "it trades until it is stopped; tests/live does so",
    "leverpack monitor": "it serves until it is stopped; tests/monitor opens it",
    "leverpack stop": "it needs a journal that a run has written; tests/live halts runs",
    "leverpack report btc.db": "it needs such a journal too; tests/report/test_livejournal.py",
    "leverpack audit": "it asks an exchange; tests/audit asks a local one",
    "leverpack alerts": "it needs a channel; tests/monitor has one",
    "leverpack sweep --cluster": "it needs a Dask scheduler; tests/sweep/test_cluster.py has one",
}
"""Start of a command that is not run here -> why."""


def lay_out(folder: Path) -> Path:
    """The files as a user has them, made from the shipped samples."""
    for name, sample in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(DATA / sample)
    header, *rows = (DATA / FILES["BTCUSDT-1h.csv"]).read_text().splitlines()
    _scaled(folder / "candles" / "ETHUSDT-1h.csv", header, rows, 0.04)
    months = folder / "BTCUSDT"
    months.mkdir()
    for month in ("01", "02", "03"):
        name = f"BTCUSDT-1h-2025-{month}"
        inside = [row for row in rows if row.startswith(f"2025-{month}")]
        with zipfile.ZipFile(months / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as pack:
            pack.writestr(f"{name}.csv", "\n".join([header, *inside]) + "\n")
    broken = rows[:200]
    broken[99] = re.sub(r",\d+\.\d+", ",n/a", broken[99], count=1)
    (folder / "broken.csv").write_text("\n".join([header, *broken]) + "\n")
    return folder


def _scaled(path: Path, header: str, rows: list[str], factor: float) -> None:
    """The same candles at another price, as another symbol's."""
    made = [header]
    for row in rows:
        time, *prices, volume = row.split(",")
        made.append(",".join([time, *(f"{float(p) * factor:.2f}" for p in prices), volume]))
    path.write_text("\n".join(made) + "\n")


class Typist:
    """Types commands in one folder: code, standard output and standard error of each."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self._patch, self._capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)
        for name in os.environ:
            if name.startswith(("LEVERPACK_", "QT_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("LEVERPACK_CACHE", "off")  # of candles; compiled code is kept
        monkeypatch.setenv("COLUMNS", "100")

    def type(self, command: str) -> tuple[int, str, str]:
        """Run one line of shell, in this process where no shell is needed."""
        words = shlex.split(command)
        if words[0] == "make":
            return self._make(words[1:])
        if any(mark in words for mark in ("<", ">", "|", "&&", ";")) or words[0] != "leverpack":
            return self._shell(command)
        return self._leverpack(words[1:])

    def _leverpack(self, arguments: list[str]) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["leverpack", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run()
        told = self._capsys.readouterr()
        code = stop.value.code
        return (code if isinstance(code, int) else 0), told.out, told.err

    def _shell(self, command: str) -> tuple[int, str, str]:
        places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        done = subprocess.run(
            command, shell=True, cwd=self.folder, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PATH": os.pathsep.join(places), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def _make(self, targets: list[str]) -> tuple[int, str, str]:
        """That the targets exist; of `make backtest` the command of its recipe, too."""
        text = (ROOT / "Makefile").read_text()
        for target in targets:
            assert re.search(rf"^{target}:", text, re.M), f"there is no make target {target}"
        if targets != ["backtest"]:
            return 0, "", ""
        command = re.search(r"^backtest:.*\n\t(?P<first>(?:.*\\\n)*.*)$", text, re.M)
        assert command is not None
        words = shlex.split(command["first"].replace("\\\n", " "))
        assert words[0] == "$(BIN)/leverpack"
        here = [w if not w.startswith("data/") else str(ROOT / w) for w in words[1:]]
        return self._leverpack(here)
