"""``make fuzz``: a hundred thousand hurt files on all cores; what is read wrongly is kept."""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.fuzz.corpus import originals
from tests.fuzz.judge import WrongReadingError, make, run

KEPT = ROOT / "reports" / "fuzz"
ADDRESSES = 12 << 30  # bytes of address space a process may take
MOST_MB = 400  # that a process may grow by over one small file
_HANGS_S = 120.0
_QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files that live a moment


def _work(first: int, stop: int, step: int, at: Any, out: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    with tempfile.TemporaryDirectory(dir=_QUICK) as folder:
        for seed in range(first, stop, step):
            at.value = seed
            before = _peak_mb()
            try:
                outcome = run(seed, Path(folder))
                if _peak_mb() - before > MOST_MB:
                    raise WrongReadingError(f"took {_peak_mb() - before} MB")
                out.put((seed, outcome.result, ""))
            except BaseException as fault:
                trace = "".join(traceback.format_exception(fault))
                out.put((seed, type(fault).__name__, trace))
                if isinstance(fault, (KeyboardInterrupt, SystemExit)):
                    raise


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Worker:
    """A process that goes through its seeds, and is started again behind one that ends it."""

    def __init__(self, first: int, stop: int, step: int, out: Any) -> None:
        self.stop, self.step, self.out = stop, step, out
        self.at = mp.Value("q", first)
        self.start(first)

    def start(self, first: int) -> None:
        self.since, self.last = time.monotonic(), first
        self.process = mp.Process(
            target=_work, args=(first, self.stop, self.step, self.at, self.out), daemon=True
        )
        self.process.start()

    def look(self) -> tuple[int, str] | None:
        """The seed that ended the process or holds it up, and how; it goes on behind that."""
        seed = self.at.value
        if seed != self.last:
            self.last, self.since = seed, time.monotonic()
        code = self.process.exitcode
        hangs = code is None and time.monotonic() - self.since > _HANGS_S
        if hangs:
            self.process.kill()
            self.process.join()
        elif not code:
            return None
        if seed + self.step < self.stop:
            self.start(seed + self.step)
        return seed, "hangs" if hangs else f"ended the process ({code})"

    @property
    def done(self) -> bool:
        """Whether all seeds are through."""
        return self.process.exitcode is not None


def keep(seed: int, why: str, trace: str) -> Path:
    """Save a case that went wrong: the file, and how to run it again."""
    folder = KEPT / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    case, on_fault = make(seed)
    (folder / case.base.name).write_bytes(case.content)
    (folder / "why.txt").write_text(
        f"python -m tests.fuzz.run --case {seed}\n{case.base.name} {case.base.kind} {on_fault} "
        f"{case.did}\n{why}\n{trace}"
    )
    return folder


def main() -> int:
    """Exit code 1 when a case went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="the first case")
    parser.add_argument("--case", type=int, help="run this one alone, with its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.case is not None:
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(given.case, Path(folder))
            print(f"{outcome.result}: {outcome.case.base.name} {outcome.case.did}")
        return 0
    stop = given.seed + given.cases
    print(f"{given.cases:,} cases from seed {given.seed} on {given.jobs} cores, "
          f"{len(originals())} files", flush=True)
    out: Any = mp.Queue()
    workers = [Worker(given.seed + i, stop, given.jobs, out) for i in range(given.jobs)]
    seen: Counter[str] = Counter()
    wrong: list[int] = []
    started = said = time.monotonic()

    def take() -> None:
        while not out.empty():
            seed, result, trace = out.get()
            seen[result] += 1
            if trace:
                wrong.append(seed)
                folder = keep(seed, result, trace)
                print(f"wrong: {seed} {trace.splitlines()[-1][:200]} ({folder})", flush=True)

    while not all(worker.done for worker in workers):
        time.sleep(0.1)
        take()
        for worker in workers:
            ended = worker.look()
            if ended:
                wrong.append(ended[0])
                seen["crashed"] += 1
                print(f"wrong: {ended[0]} {ended[1]} ({keep(*ended, '')})", flush=True)
        if time.monotonic() - said > 10:
            said = time.monotonic()
            rate = seen.total() / (said - started)
            print(f"{seen.total():,} cases, {rate:,.0f} a second, {len(wrong)} wrong", flush=True)
    take()
    print(f"{seen.total():,} cases in {time.monotonic() - started:,.0f} s: "
          + ", ".join(f"{n:,} {what}" for what, n in seen.most_common()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
