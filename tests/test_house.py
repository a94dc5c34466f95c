"""The house keeps its shape: imports point downwards, files stay small, the map is true."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import leverpack
from tests.conftest import ROOT

PACKAGES = ("leverpack", "strategies", "analyzers")
MODULES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_imports_point_downwards():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_contract_names_every_room():
    layers = SETTINGS["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {name.strip() for layer in layers for name in re.split(r"[:|]", layer)}
    rooms = {
        f"leverpack.{p.stem}" for p in (ROOT / "leverpack").iterdir()
        if not p.name.startswith("_") and (p.is_dir() or p.suffix == ".py")
    }  # fmt: skip
    assert rooms - {"leverpack.py"} <= named


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_for_and_stays_small(path: Path):
    text = path.read_text()
    assert re.match(r'"""[^\n]+\.("""|\n)', text), "starts with a sentence on its purpose"
    assert text.count("\n") <= 450


def test_the_public_names():
    assert {leverpack.Cerebro, leverpack.MarginBroker, leverpack.CandleFeed}
    assert leverpack.bt.__name__ == "backtrader"
    with pytest.raises(AttributeError, match="did you mean MarginBroker"):
        _ = leverpack.MarginBrokr


def test_the_version_is_one():
    assert SETTINGS["project"]["version"] == leverpack.__version__


@pytest.mark.parametrize("name", ["requirements.lock", "benchmarks/peers.lock"])
def test_the_lock_names_no_host_and_hashes_all(name: str):
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    pins = re.findall(r"^\S+==\S+", lock, re.MULTILINE)
    assert len(pins) > 30
    for block in re.split(r"\n(?=\S)", lock.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]
