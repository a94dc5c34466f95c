"""The kill switch: no new entries, entries cancelled, or everything closed, until a reset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leverpack.live.bus import HALTED, ORDER_REJECTED
from leverpack.live.journal import Journal
from leverpack.live.market import Working
from leverpack.live.switch import CANCEL_ENTRIES, CLOSE_ALL, LEVELS, level_in

# Seconds for what is under way when the end is asked for, and for cancelling the entries then.
_INTERRUPT_S, _CANCEL_S = 0.8, 1.5


class Halting:
    """Layer of CCXTLiveBroker: three levels, kept in the journal over restarts.

    A file ``kill_file`` with 1, 2 or 3 in it halts too (anything else counts as 3); it is looked
    at in every turn of the loop. A level is only ever raised, until :meth:`reset_halt`.
    """

    journal: Journal
    working: dict[str, Working]
    p: Any

    def _start_halting(self) -> None:
        saved = self.journal.state("halt").load() or {}
        self.halted = int(saved.get("level", 0))
        self.halt_reason = str(saved.get("reason", ""))
        self._wanted: tuple[int, str] | None = None
        self._ending = False

    def end_run(self) -> None:
        """Cancel the entries and end the run at the next turn; stops and targets stay resting.

        May be called from a signal handler. All in all it takes less than five seconds, however
        slow the venue is: what cannot be cancelled by then is named in an alert.
        """
        broker: Any = self
        self._ending = True
        broker.store.end_by(_INTERRUPT_S)
        broker.wake()

    def end_if_asked(self) -> None:
        """The next turn of the loop after :meth:`end_run`."""
        broker: Any = self
        if not self._ending:
            return
        broker.store.end_by(_CANCEL_S)
        if broker.reconciled:
            self._cancel_entries()
        left = [w.client_id for w in self.working.values() if not broker.closes_only(w)]
        if left:
            broker.alert(
                f"ended before the venue has confirmed that {len(left)} entries are cancelled; "
                f"look there for {', '.join(left)}",
                ORDER_REJECTED,
            )
        self.journal.add_event("info", "ended by a signal")
        broker.cerebro.runstop()

    def halt(self, level: int = CLOSE_ALL, reason: str = "halted by hand") -> None:
        """Halt at the next turn of the loop; may be called from a signal handler or a thread."""
        broker: Any = self
        if level not in LEVELS:
            raise ValueError(f"a halt has level 1, 2 or 3, not {level!r}")
        if self._wanted is None or level > self._wanted[0]:
            self._wanted = level, reason
        broker.wake()

    def reset_halt(self) -> None:
        """Trade again: what a person does after looking."""
        self.halted, self.halt_reason = 0, ""
        self._save_halt()

    def watch_switches(self) -> None:
        """Look at the file and at what was asked for, and do it."""
        broker: Any = self
        if self.p.kill_file is not None:
            level = level_in(Path(self.p.kill_file))
            if level > self.halted:
                self.halt(level, f"the file {self.p.kill_file}")
        wanted, self._wanted = self._wanted, None
        if wanted is not None and wanted[0] > self.halted:
            self.halted, self.halt_reason = wanted
            self._save_halt()
            broker.alert(f"halt: {LEVELS[self.halted]}: {self.halt_reason}", HALTED)
        if self.halted >= CANCEL_ENTRIES:
            self._cancel_entries()
        if self.halted >= CLOSE_ALL:
            self._close_all()

    def _save_halt(self) -> None:
        broker: Any = self
        self.journal.state("halt").save({"level": self.halted, "reason": self.halt_reason})
        broker.store.bus.tell("halt", level=self.halted, reason=self.halt_reason)

    def _cancel_entries(self) -> None:
        broker: Any = self
        entries = [w for w in self.working.values() if not broker.closes_only(w)]
        broker.cancel_all([w for w in entries if self._ending or not w.cancel_wanted])

    def _close_all(self) -> None:
        """Close what is held, reduce-only; the stops stay until it is flat."""
        broker: Any = self
        for market in broker.markets.values():
            size = market.position.size
            closing = any(
                w.request.symbol == market.key and w.request.kind == "market"
                and w.request.reduce_only and not w.request.conditional
                for w in self.working.values()
            )  # fmt: skip
            if not size or closing:
                continue
            owner = market.owner or next(iter(broker.cerebro.runningstrats), None)
            send = broker.sell if size > 0.0 else broker.buy
            send(owner, market.data, abs(size), reduce_only=True, tag="halt")

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held and nothing is under way."""
        broker: Any = self
        held = any(m.position.size or m.state.size for m in broker.markets.values())
        return not held and not self.working
