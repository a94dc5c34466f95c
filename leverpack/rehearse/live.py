"""The live half of a rehearsal: the live path in a thread, played to in lock-step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backtrader as bt

from leverpack.config import Settings
from leverpack.errors import DataError
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.journal import Journal
from leverpack.live.store import CCXTStore
from leverpack.paper.exchange import Exchange
from leverpack.paper.orders import PaperSettings
from leverpack.paper.session import Session
from leverpack.paper.tape import Tape
from leverpack.rehearse.exchange import ServedExchange
from leverpack.rehearse.plan import VENUE, EquityLog, Outcome, Plan
from leverpack.rehearse.trades import Fill, Payment

REST_S = 30.0  # within which the run has to come to rest
STREAM_S = 2.0  # within which the stream has to have told of a fill
_QUIET_S = 5.0
_TURN_S = 0.02
_NUDGES = 3  # turns in a row that begin at once
_TAG_OF_VENUE = "liquidation"

Progress = Callable[[int, int], None]


class Turn:
    """Where Backtrader's loop is: ``idle`` while it waits for the next candle, ``given`` so far."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.idle = False
        self.given = 0
        self.fills = 0  # that the live path has booked
        self.fault: BaseException | None = None

    def set(self, **what: Any) -> None:
        """Change something, and let whoever waits look."""
        with self.changed:
            for name, value in what.items():
                setattr(self, name, value)
            self.changed.notify_all()


class LockStepFeed(CCXTDataFeed):
    """The live feed as it is, saying when the loop has come back to it.

    What the broker puts off until nothing else is to do follows at once, not after ``qcheck``.
    """

    params: Any = (("turn", None), ("broker", None))
    _nudges = 0

    def _load(self) -> bool | None:
        turn: Turn = self.p.turn
        self._nudges = 0 if self.p.broker.at_rest else self._nudges + 1
        if 0 < self._nudges <= _NUDGES:
            self.wake()
        turn.set(idle=True)
        found: bool | None = None
        try:
            found = super()._load()
        finally:
            turn.set(idle=False, given=turn.given + bool(found))
        return found


class LiveRun:
    """One live run on a served exchange; ``with`` starts it and ends it in order."""

    def __init__(self, plan: Plan, served: ServedExchange, journal: Journal) -> None:
        self.plan, self.served, self.journal = plan, served, journal
        self.outcome, self.turn = Outcome(), Turn()
        self.prompted = 0  # fills that the stream did not tell of in time
        self.store = CCXTStore(
            VENUE, {"options": {"recvWindow": 60_000}}, url=served.url, settings=Settings(),
            env_file=None,
        )  # fmt: skip
        self.store.bus.subscribe(self._hear)
        self.broker = CCXTLiveBroker(
            store=self.store, journal=journal, leverage=plan.leverage,
            margin_mode=plan.margin_mode, max_leverage=plan.max_leverage,
        )  # fmt: skip
        self.feed = LockStepFeed(
            store=self.store, symbol=plan.symbol, timeframe=plan.timeframe, history=plan.begin,
            turn=self.turn, broker=self.broker, quiet_s=_QUIET_S, qcheck=_TURN_S,
        )  # fmt: skip
        self.cerebro = bt.Cerebro(stdstats=False, quicknotify=True)
        self.cerebro.setbroker(self.broker)
        self.cerebro.adddata(self.feed)
        self.cerebro.addstrategy(plan.strategy, **plan.params)
        self.cerebro.addanalyzer(
            EquityLog, read=self.broker.getvalue, into=self.outcome.equity,
            from_ms=plan.start_ms,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="leverpack-live", daemon=True)

    def __enter__(self) -> LiveRun:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.cerebro.runstop()
        self.feed.wake()
        self._thread.join(REST_S)
        self.store.close()

    def _run(self) -> None:
        try:
            self.cerebro.run()
        except BaseException as fault:
            self.turn.set(fault=fault)

    def _hear(self, event: str, facts: dict[str, Any]) -> None:
        if event == "fill":
            self.turn.set(fills=self.turn.fills + 1)

    # -- lock-step -------------------------------------------------------------------------------

    def rest(self, candles: int) -> None:
        """Wait until the run has done all with ``candles`` in all and with the venue's fills."""
        with self.turn.changed:
            if self._comes_to_rest(candles, STREAM_S):
                return
        if self.turn.given >= candles and self.turn.fills < self.served.fills:
            self.prompted += 1
            self.broker.hint()
        with self.turn.changed:
            if not self._comes_to_rest(candles, REST_S):
                raise DataError(
                    f"the live run did not come to rest within {REST_S:g} s at candle {candles}: "
                    f"{self.turn.given} candles and {self.turn.fills} of {self.served.fills} "
                    f"fills taken in, alerts {self.broker.alerts[-3:]}"
                )

    def _comes_to_rest(self, candles: int, within_s: float) -> bool:
        end = time.monotonic() + within_s
        while not self._is_at_rest(candles):
            if self.turn.fault is not None:
                raise self.turn.fault
            if not self.turn.changed.wait(end - time.monotonic()) and time.monotonic() >= end:
                return False
        return True

    def _is_at_rest(self, candles: int) -> bool:
        turn = self.turn
        return (
            turn.idle and turn.given >= candles and turn.fills >= self.served.fills
            and self.broker.at_rest
        )

    def hears(self) -> bool:
        """Whether its streams are connected."""
        return bool(self.served.session.hub.users()) and bool(self.served.session.hub.streams)

    # -- what is left ----------------------------------------------------------------------------

    def gathered(self) -> Outcome:
        """Fills as the journal has them, funding as the venue has paid it."""
        outcome = self.outcome
        ts = self.plan.candles.ts
        tags = {row["client_id"]: str(row["tag"] or "") for row in self.journal.intents()}

        def candle_of(ms: int) -> int:
            return int(ts[max(0, int(ts.searchsorted(ms, "right")) - 1)])

        for row in self.journal.fills():
            sign = 1.0 if row["side"] == "buy" else -1.0
            tag = tags.get(row["client_id"], _TAG_OF_VENUE)
            outcome.fills.append(Fill(
                candle_of(row["time_ms"]), sign * row["size"], row["price"], row["fee"], tag
            ))  # fmt: skip
        for paid in self.served.exchange.books.incomes:
            if paid.kind == "FUNDING_FEE" and paid.amount:
                outcome.payments.append(Payment(candle_of(paid.time), paid.amount))
        outcome.liquidations = len(self.broker.liquidations)
        outcome.refused = [str(r["reason"]) for r in self.broker.rejections]
        return outcome


def session_for(plan: Plan, **changed: Any) -> Session:
    """The plan's exchange in lock-step; ``changed`` are PaperSettings that are to differ."""
    settings = {
        "deposit": plan.cash, "maker": plan.maker, "taker": plan.taker,
        "intrabar": plan.intrabar, "trail_by": "close", "weight_limit": 0,
        "order_limit_minute": 0, "order_limit_10s": 0, **changed,
    }  # fmt: skip
    tape = Tape(plan.instrument, plan.candles, plan.mark, plan.funding, plan.start_ms)
    return Session(Exchange(PaperSettings(**settings), [tape], plan.tiers), speed=0.0)


def rehearse_live(
    plan: Plan, session: Session, journal: Path, progress: Progress | None = None
) -> tuple[Outcome, LiveRun]:
    """Run the plan live on ``session`` to the end of its candles."""
    total = len(plan.candles) - plan.begin
    with ServedExchange(session) as served, Journal(journal) as held:
        with LiveRun(plan, served, held) as run:
            done = plan.begin
            run.rest(done)
            _until(run.hears)
            while done < len(plan.candles):
                piece = served.play_on()
                done += piece == "closed"
                run.rest(done)
                if piece == "closed" and progress is not None:
                    progress(done - plan.begin, total)
            outcome = run.gathered()
        if run.turn.fault is not None:
            raise run.turn.fault
    return outcome, run


def _until(true: Callable[[], bool]) -> None:
    """Wait for what happens once, at the start: the streams' subscription."""
    end = time.monotonic() + REST_S
    while not true():
        if time.monotonic() > end:
            raise DataError("the live run did not open its streams at the paper exchange")
        time.sleep(0.01)
