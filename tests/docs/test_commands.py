"""Every command and every piece of Python in the README and docs/ runs and says what it says."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.docs.desk import NEEDS_MORE, Typist, lay_out
from tests.docs.pages import PAGES, Block, blocks, name_of

ENDS_WITH = {"leverpack data check broken.csv": 2}  # commands that are there for what they refuse
OTHER_EACH_TIME = re.compile(r"candles/s|elapsed")
EXACT = doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_page_does_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typist = Typist(lay_out(tmp_path), monkeypatch, capsys)
    module = types.ModuleType("page")  # Backtrader looks a strategy's module up
    monkeypatch.setitem(sys.modules, "page", module)
    names = vars(module)
    told = ""
    for block in blocks(page):
        if block.kind == "shell":
            told = "".join(_typed(typist, block, command) for command in block.commands())
        elif block.kind == "python":
            told = _run(block, names)
        elif block.kind == "pycon":
            _doctest(block, names)
        elif block.kind == "output":
            assert _lines(block.text) == _lines(told), f"{block.where}: what is printed differs"
        else:
            assert block.kind in ("text", "toml"), f"{block.where}: a block of {block.kind!r}"


def _typed(typist: Typist, block: Block, command: str) -> str:
    for start, why in NEEDS_MORE.items():
        if command.startswith(start):
            assert why
            return ""
    code, out, err = typist.type(command)
    expected = next((c for start, c in ENDS_WITH.items() if command.startswith(start)), 0)
    assert code == expected, f"{block.where}: {command}\n{out}\n{err}"
    assert "Traceback" not in err
    return out


def _run(block: Block, names: dict[str, Any]) -> str:
    told = io.StringIO()
    padded = "\n" * block.line + block.text  # so that a traceback names the page's line
    with contextlib.redirect_stdout(told):
        exec(compile(padded, block.where, "exec"), names)
    return told.getvalue()


def _doctest(block: Block, names: dict[str, Any]) -> None:
    found = doctest.DocTestParser().get_doctest(block.text, names, block.where, None, block.line)
    runner = doctest.DocTestRunner(optionflags=EXACT, verbose=False)
    said: list[str] = []
    runner.run(found, out=said.append, clear_globs=False)
    assert not runner.failures, f"{block.where}\n{''.join(said)}"
    assert runner.tries
    names.update(found.globs)


def _lines(text: str) -> list[str]:
    """What is compared: without the speed of this machine and the spaces at the ends."""
    lines = (line.rstrip() for line in text.strip().splitlines())
    return [line for line in lines if not OTHER_EACH_TIME.search(line)]


def test_the_desk_is_clean_and_the_commands_are_many() -> None:
    shells = [b for page in PAGES for b in blocks(page) if b.kind == "shell"]
    commands = [command for block in shells for command in block.commands()]
    assert len([c for c in commands if "leverpack " in c]) > 25
    assert not [start for start in NEEDS_MORE if not any(c.startswith(start) for c in commands)]
    assert not [start for start in ENDS_WITH if not any(c.startswith(start) for c in commands)]
    assert "LEVERPACK_CONFIG" not in os.environ
