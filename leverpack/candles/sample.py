"""Made-up candles, mark prices and funding for trying things out: seeded, and the same each time.

The market is an index price with volatility clusters (GARCH) and fat tails (Student t), drifting
in changing directions, and a perpetual that trades at a premium to it. The premium follows
the trend and runs away in a crash; the mark price smooths it; funding is paid on it. None of it
ever happened: the files are called ``made_...`` for that reason.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles.series import Candles, Funding, iso
from leverpack.candles.timeframes import DAY_MS, HOUR_MS, MINUTE_MS
from leverpack.errors import SettingError
from leverpack.files import put_file
from leverpack.result import Floats

SYMBOL = "BTCUSDT"
SHIPPED = Path(__file__).resolve().parents[2] / "data"
_YEAR_SEED, _MONTH_SEED = 20250126, 20250617
_TICK = 0.1
_YEAR_MS = 365 * DAY_MS
_INTEREST = 0.0001  # per 8 hours, as most venues set it
_BAND = 0.0005  # how far the premium may stray before the funding rate follows it
_CAP = 0.02


@dataclass(frozen=True, slots=True)
class Crash:
    """A fall of the index by ``depth`` (fraction) over ``hours``, and the part of it won back."""

    start_ms: int
    hours: float
    depth: float
    rebound: float  # fraction of the fall
    rebound_hours: float
    panic: float  # how far the perpetual falls below the index at worst, fraction


@dataclass(frozen=True, slots=True)
class Made:
    """A made market: trade candles, mark candles and funding of one perpetual."""

    candles: Candles
    mark: Candles
    funding: Funding


def make_year(seed: int = _YEAR_SEED) -> Made:
    """8,760 hourly candles of 2025 with trends both ways, one crash of about a third in a day."""
    crash = Crash(_ms(2025, 8, 18, 13), 7.0, 0.33, 0.35, 20.0, 0.035)
    return _make(
        seed, _ms(2025, 1, 1), 365 * DAY_MS, HOUR_MS, HOUR_MS, 12, 93_500.0, crash, 8_000.0
    )


def make_crash_month(seed: int = _MONTH_SEED) -> Made:
    """43,200 one-minute candles of June 2025, five-minute marks, a fall of a fifth in two hours."""
    crash = Crash(_ms(2025, 6, 17, 14, 20), 1.9, 0.21, 0.45, 5.0, 0.06)
    return _make(
        seed, _ms(2025, 6, 1), 30 * DAY_MS, MINUTE_MS, 5 * MINUTE_MS, 6, 104_000.0, crash, 110.0
    )


def make_minutes(days: int, seed: int) -> Made:
    """One-minute candles from 2025 on, five-minute marks, a crash half way; for benchmarks."""
    start = _ms(2025, 1, 1)
    crash = Crash(start + days * DAY_MS // 2, 1.9, 0.21, 0.45, 5.0, 0.06)
    return _make(
        seed, start, days * DAY_MS, MINUTE_MS, 5 * MINUTE_MS, 6, 93_500.0, crash, 110.0
    )


def _ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


def _make(
    seed: int,
    start: int,
    length: int,
    bar: int,
    mark_bar: int,
    parts: int,
    price: float,
    crash: Crash,
    volume: float,
) -> Made:
    """Walk the market in ``parts`` steps a candle and gather the steps into candles."""
    random = np.random.default_rng(seed)
    step = bar // parts
    count = length // step
    times = start + step * np.arange(1, count + 1)  # the end of each step
    moves = _moves(random, count, step) * _unrest(times, crash)
    moves += _drift(random, times, step) + _fall(times, crash)
    index = price * np.exp(np.cumsum(moves))
    last_premium, mark_premium = _premiums(random, moves, times, step, crash)
    last = np.round(index * (1 + last_premium) / _TICK) * _TICK
    mark = np.round(index * (1 + mark_premium) / _TICK) * _TICK
    ts = start + bar * np.arange(length // bar)
    volumes = _volumes(random, moves, parts, volume)
    candles = _candles(ts, last, price, parts, bar, volumes, "trade")
    longer = mark_bar // bar
    mark_ts = ts[::longer]
    marks = _candles(mark_ts, mark, price, parts * longer, mark_bar, np.zeros(len(mark_ts)), "mark")
    return Made(candles, marks, _funding(times, last_premium, start, length))


def _moves(random: np.random.Generator, count: int, step: int) -> Floats:
    """Log returns with volatility clusters and fat tails; about 55 % volatility a year."""
    usual = 0.55**2 * step / _YEAR_MS
    shocks = random.standard_t(4, count) / math.sqrt(2.0)  # unit variance
    weight = 0.04 * math.sqrt(min(1.0, step / (5 * MINUTE_MS)))
    memory = math.exp(-step / (3 * DAY_MS)) - weight  # a lively market calms down within days
    variance = usual
    out = []
    for shock in shocks.tolist():
        move = math.sqrt(variance) * shock
        variance = min((1 - weight - memory) * usual + weight * move * move + memory * variance,
                       16 * usual)  # fmt: skip
        out.append(move)
    return np.array(out)


def _drift(random: np.random.Generator, times: Any, step: int) -> Floats:
    """Trends of one to five weeks that turn, with pullbacks of some hours against them."""
    drift = np.zeros(len(times))
    at, sign = int(times[0]), 1.0
    while at < times[-1]:
        end = at + int(random.uniform(7, 36) * DAY_MS)
        rate = sign * random.uniform(0.5, 1.8)
        drift[(times >= at) & (times < end)] = rate * step / _YEAR_MS
        pull = at + int(random.uniform(1, 3) * DAY_MS)
        while pull < end:
            hours = random.uniform(6, 30)
            window = (times >= pull) & (times < pull + hours * HOUR_MS)
            drift[window] = -sign * random.uniform(0.01, 0.03) * step / (hours * HOUR_MS)
            pull += int(random.uniform(2, 6) * DAY_MS)
        at, sign = end, -sign
    return drift


def _unrest(times: Any, crash: Crash) -> Floats:
    """How many times livelier than usual the market is; most around the crash's low."""
    low = crash.start_ms + crash.hours * HOUR_MS
    times_usual: Floats = 1 + 3 * np.exp(-np.abs(times - low) / (crash.hours * HOUR_MS))
    return times_usual


def _fall(times: Any, crash: Crash) -> Floats:
    """The crash and its rebound as extra log returns, steepest towards the end of the fall."""
    out = np.zeros(len(times))
    fall = (times - crash.start_ms) / (crash.hours * HOUR_MS)
    inside = (fall > 0) & (fall <= 1)
    weights = fall[inside] ** 2
    out[inside] = math.log(1 - crash.depth) * weights / weights.sum()
    back = (times - crash.start_ms - crash.hours * HOUR_MS) / (crash.rebound_hours * HOUR_MS)
    inside = (back > 0) & (back <= 1)
    weights = (1.001 - back[inside]) ** 3
    won = math.log(1 + crash.rebound * crash.depth / (1 - crash.depth))
    out[inside] += won * weights / weights.sum()
    return out


def _premiums(
    random: np.random.Generator, moves: Floats, times: Any, step: int, crash: Crash
) -> tuple[Floats, Floats]:
    """The perpetual's premium over the index, and the smoothed one that the mark price has."""
    fade = math.exp(-step / (2.0 * HOUR_MS))
    slow = math.exp(-step / (36.0 * HOUR_MS))
    smooth = math.exp(-step / (5.0 * MINUTE_MS))
    noise = random.normal(0.0, 0.00025, len(moves)) * math.sqrt(1 - fade * fade)
    trend = fast = mark = 0.0
    last, marks = [], []
    for move, jitter in zip(moves.tolist(), noise.tolist(), strict=True):
        trend = slow * trend + 0.04 * move
        fast = fade * fast + 0.02 * move + jitter
        premium = 0.0001 + trend + fast
        mark = smooth * mark + (1 - smooth) * premium
        last.append(premium)
        marks.append(mark)
    panic = _panic(times, crash)
    return np.array(last) + panic, np.array(marks) + 0.2 * panic


def _panic(times: Any, crash: Crash) -> Floats:
    """How far forced selling pushes the perpetual under the index around the crash's low."""
    low = crash.start_ms + crash.hours * HOUR_MS
    width = crash.hours * HOUR_MS / 8
    away = np.abs(times - low) / width
    push: Floats = -crash.panic * np.exp(-away)
    return push


def _volumes(random: np.random.Generator, moves: Floats, parts: int, usual: float) -> Floats:
    """Volume in base units: more where the price moves."""
    size = np.abs(moves).reshape(-1, parts).sum(axis=1)
    lively = 0.35 + 0.65 * size / np.median(size)
    volume: Floats = np.round(usual * lively * np.exp(random.normal(0, 0.35, len(size))), 3)
    return volume


def _candles(
    ts: Any, path: Floats, first: float, parts: int, bar: int, volume: Floats, kind: str
) -> Candles:
    rows = path.reshape(-1, parts)
    close = rows[:, -1].copy()
    opens = np.concatenate(([np.round(first, 1)], close[:-1]))
    high = np.maximum(opens, rows.max(axis=1))
    low = np.minimum(opens, rows.min(axis=1))
    prices = [np.round(p, 1) for p in (opens, high, low, close)]
    return Candles(
        ts.astype(np.int64), prices[0], prices[1], prices[2], prices[3], volume, bar,
        SYMBOL, kind, "made",
    )  # fmt: skip


def _funding(times: Any, premium: Floats, start: int, length: int) -> Funding:
    """Settlements every 8 hours on the mean premium of the hours before.

    rate = P + clamp(0.01 % - P, -0.05 %, 0.05 %), at most 2 % either way: the form of
    Binance's published rule ("Introduction to Binance Futures Funding Rates").
    """
    period = 8 * HOUR_MS
    stamps, rates = [], []
    for stamp in range(start, start + length, period):
        window = premium[(times > stamp - period) & (times <= stamp)]
        mean = float(window.mean()) if len(window) else _INTEREST
        rate = mean + min(max(_INTEREST - mean, -_BAND), _BAND)
        stamps.append(stamp)
        rates.append(round(min(max(rate, -_CAP), _CAP), 8))
    return Funding(np.array(stamps, np.int64), np.array(rates), "made", SYMBOL)


# --- files ------------------------------------------------------------------------------------


def files(seed: int | None = None) -> dict[str, bytes]:
    """Every sample file's name and bytes; names that end in .gz hold packed bytes.

    ``seed`` None makes the shipped ones; another seed, another market of the same kind.
    """
    year = make_year(_YEAR_SEED if seed is None else seed)
    month = make_crash_month(_MONTH_SEED if seed is None else seed)
    return {
        "made_BTCUSDT_1h_2025.csv": _candle_csv(year.candles),
        "made_BTCUSDT_mark_1h_2025.csv": _candle_csv(year.mark),
        "made_BTCUSDT_funding_2025.csv": _funding_csv(year.funding),
        "made_BTCUSDT_1m_crash.csv.gz": _packed(_candle_csv(month.candles)),
        "made_BTCUSDT_mark_5m_crash.csv.gz": _packed(_candle_csv(month.mark)),
        "made_BTCUSDT_funding_crash.csv": _funding_csv(month.funding),
    }


def _stamp(ms: int) -> str:
    return iso(ms)[:19].replace("T", " ")


def _candle_csv(candles: Candles) -> bytes:
    trade = candles.kind == "trade"
    form = "{},{:.1f},{:.1f},{:.1f},{:.1f}" + (",{:.3f}\n" if trade else "\n")
    columns = [candles.open, candles.high, candles.low, candles.close]
    if trade:
        columns.append(candles.volume)
    out = io.StringIO()
    out.write("datetime,open,high,low,close" + (",volume" if trade else "") + "\n")
    stamps = map(_stamp, candles.ts.tolist())
    for stamp, *values in zip(stamps, *(c.tolist() for c in columns), strict=True):
        out.write(form.format(stamp, *values))
    return out.getvalue().encode()


def _funding_csv(funding: Funding) -> bytes:
    rows = zip(funding.ts.tolist(), funding.rate.tolist(), strict=True)
    return ("datetime,rate\n" + "".join(f"{_stamp(t)},{r:.8f}\n" for t, r in rows)).encode()


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def write_samples(folder: Path, *, seed: int | None = None, force: bool = True) -> list[Path]:
    """Write every sample file into a folder, each whole or not at all; return the paths.

    Without ``force`` a file that is there with other content is refused with SettingError, and
    nothing is written; so is a folder that cannot be written.
    """
    made = files(seed)
    differing = [n for n in compare(folder, made) if (folder / n).exists()]
    if differing and not force:
        raise SettingError(
            f"{folder / differing[0]}: the file is there already with other content; "
            "use --force to replace it, or another --folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [put_file(folder / name, _writer(content)) for name, content in made.items()]
    except OSError as fault:
        raise SettingError(f"{folder}: cannot be written ({fault.strerror or fault})") from fault


def _writer(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def compare(folder: Path, made: dict[str, bytes]) -> list[str]:
    """The names of the made files that a folder lacks or holds with another content.

    What is packed is compared unpacked: packers differ, the candles in the pack must not.
    """
    return [n for n, content in made.items() if _content(folder / n) != _unpacked(n, content)]


def _content(path: Path) -> bytes | None:
    try:
        return _unpacked(path.name, path.read_bytes())
    except (OSError, EOFError, zlib.error):
        return None


def _unpacked(name: str, content: bytes) -> bytes:
    return gzip.decompress(content) if name.endswith(".gz") else content


if __name__ == "__main__":
    for path in write_samples(SHIPPED):
        print(path.name, path.stat().st_size)
