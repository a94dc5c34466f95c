"""Numbers and times as the report writes them."""

from __future__ import annotations

from math import inf, nan

from leverpack.report import words


def test_numbers() -> None:
    assert words.money(-1234.5) == "-1,234.50"
    assert words.money(3.0, sign=True) == "+3.00"
    assert words.percent(0.12345) == "12.35 %"
    assert words.percent(-0.5, sign=True) == "-50.00 %"
    assert words.percent(None) == words.percent(nan) == "none"
    assert words.percent(inf) == "beyond all bounds"
    assert words.price(82_958.0) == "82,958.00"
    assert words.price(1.5) == "1.5000"
    assert words.price(0.00001234) == "0.00001234"
    assert words.price(None) == "none"
    assert words.size(0.10000000) == "0.1"
    assert words.size(12.0) == "12"


def test_times_and_counts() -> None:
    assert words.moment(1_735_689_600_000) == "2025-01-01 00:00 UTC"
    assert words.moment(None) == "still open"
    assert words.from_iso("2025-01-01T00:00:00+00:00") == "2025-01-01 00:00 UTC"
    assert words.from_iso(None) == "no candle"
    assert words.duration(0, 4 * 3_600_000 + 300_000) == "4 h 5 min"
    assert words.duration(0, 76 * 3_600_000) == "3 d 4 h"
    assert words.duration(0, None) == ""
    assert words.count(1, "position") == "1 position"
    assert words.count(1200, "position") == "1,200 positions"
