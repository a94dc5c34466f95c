"""`make faults`: many seeded runs with faults mixed and many kills, in processes side by side."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

WORKERS = 4  # on two cores: they wait for each other's answers most of the time
KILLS_AT_ONCE = 10  # kills of one journal

Outcome = tuple[int, int, str]  # seed, how much there was, why it failed


def one(seed: int, venue: str = "binanceusdm") -> Outcome:
    """One run with mixed faults; how many fills."""
    from tests.live.test_faults import one_run

    return _tried(seed, lambda folder, s: one_run(folder, s, venue))


def kills(seed: int, venue: str = "binanceusdm") -> Outcome:
    """Some kills of one journal's runs; how many fills."""
    from tests.live.test_restart import killed_runs

    return _tried(seed, lambda folder, s: killed_runs(folder, KILLS_AT_ONCE, s, venue))


def _tried(seed: int, run: Callable[[Path, int], int]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return seed, run(Path(folder), seed), ""
        except Exception as fault:
            return seed, 0, " <- ".join(_reasons(fault))


def _reasons(fault: BaseException | None) -> Iterator[str]:
    """What was raised and what had been raised before it, with the places."""
    while fault is not None:
        last = traceback.extract_tb(fault.__traceback__)[-1]
        said = (str(fault).splitlines() or [""])[0]
        yield f"{type(fault).__name__} at {Path(last.filename).name}:{last.lineno}: {said}"
        fault = fault.__context__


def many(
    run: Callable[[int], Outcome], seeds: Iterable[int], workers: int = WORKERS,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[int, dict[int, str]]:  # fmt: skip
    """The sum of what the runs had, and the reasons of those that failed."""
    total, failed, done, since = 0, {}, 0, time.monotonic()
    # Not forked: the servers of a run have threads.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        runs = [pool.submit(run, seed) for seed in seeds]
        for future in as_completed(runs):
            seed, fills, why = future.result()
            total, done = total + fills, done + 1
            if why:
                failed[seed] = why
                say(f"SEED={seed} failed: {why}")
            if done % 50 == 0 or (done % 5 == 0 and len(runs) < 50):
                say(f"{done} done, {len(failed)} failed, {time.monotonic() - since:.0f} s")
    return total, failed


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 where a run has failed."""
    ask = argparse.ArgumentParser(prog="make faults", description=__doc__)
    ask.add_argument("--runs", type=int, default=1000, help="seeded runs with mixed faults")
    ask.add_argument("--kills", type=int, default=200, help="kill -9 and restart, so often")
    ask.add_argument("--seed", type=int, help="this run alone, with its trace")
    ask.add_argument("--first", type=int, default=100, help="the first seed")
    ask.add_argument("--workers", type=int, default=WORKERS)
    ask.add_argument("--venue", default="binanceusdm", help="binanceusdm or bybit")
    told = ask.parse_args(arguments)
    if told.seed is not None:
        from tests.live.test_faults import one_run

        with tempfile.TemporaryDirectory() as folder:
            fills = one_run(Path(folder), told.seed, told.venue)
            print(f"seed {told.seed}: {fills} fills, nothing failed")
        return 0

    def say(text: str) -> None:
        print(text, flush=True)

    failed: dict[int, str] = {}
    if told.runs:
        since, seeds = time.monotonic(), range(told.first, told.first + told.runs)
        fills, failed = many(partial(one, venue=told.venue), seeds, told.workers, say)
        say(f"{told.runs} runs with mixed faults: {fills} fills, {len(failed)} runs failed "
            f"({time.monotonic() - since:.0f} s)")  # fmt: skip
    lost: dict[int, str] = {}
    if told.kills:
        since, batches = time.monotonic(), -(-told.kills // KILLS_AT_ONCE)
        seeds = range(told.first, told.first + batches)
        fills, lost = many(partial(kills, venue=told.venue), seeds, told.workers, say)
        say(f"{batches * KILLS_AT_ONCE} kills and restarts: {fills} fills, {len(lost)} of "
            f"{batches} journals failed ({time.monotonic() - since:.0f} s)")  # fmt: skip
    return int(bool(failed or lost))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
