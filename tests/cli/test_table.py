"""Tables keep their words whole where they can."""

from __future__ import annotations

import pytest

from leverpack.cli.table import print_table


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_a_small_one_has_a_frame(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("few", ("leverage", "trades"), [("2", "10")])
    assert "│ 2 " in capsys.readouterr().out


def test_one_that_would_break_words_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    headers = ("leverage", "drawdown", "liquidations", "trades")
    print_table("many", headers, [("2", "10", "0", "1")])
    out = capsys.readouterr().out
    assert "│" not in out
    assert all(word in out for word in headers)


def test_phrases_wrap_before_words_do(capsys: pytest.CaptureFixture[str]) -> None:
    headers = ("worst margin ratio", "liquidations", "max drawdown", "x")
    print_table("many", headers, [("1.25%", "0", "10.1%", "deflated")])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in lines)
    words = " ".join(lines).split()
    assert {"margin", "liquidations", "drawdown", "deflated"} <= set(words)


def test_where_not_even_the_words_fit_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("long", ("a", "b"), [("x" * 50, "y" * 50)])
    out = capsys.readouterr().out
    assert (out.count("x"), out.count("y")) == (50, 50)
