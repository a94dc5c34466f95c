"""Mends what the audit found: plans, sets, reads back, and says for each symbol how it went."""

from __future__ import annotations

from dataclasses import dataclass, field

from leverpack.audit.reading import (
    ACCOUNT_MARGIN_MODE,
    MARGIN_MODE,
    POSITION_MODE,
    Progress,
    in_parallel,
)
from leverpack.audit.records import ANY, ISOLATED, Audit, AuditRow, Found
from leverpack.audit.rules import ERROR, OK
from leverpack.audit.run import Auditor
from leverpack.errors import SettingError
from leverpack.live.guard import Reading
from leverpack.live.venues import Call


@dataclass(slots=True)
class Step:
    """What is to be set for one symbol.

    ``calls`` are the symbol's own requests, ``shared`` those that hold for the whole account.
    ``refusal`` says why nothing is sent, or afterwards what the venue said against it.
    ``warning`` is what a person should know before saying yes. ``after`` is the row read back.
    """

    row: AuditRow
    calls: list[Call] = field(default_factory=list)
    shared: list[Call] = field(default_factory=list)
    refusal: str = ""
    warning: str = ""
    after: AuditRow | None = None

    @property
    def sent(self) -> bool:
        """Whether anything is to be sent for it."""
        return bool(self.calls or self.shared)

    @property
    def done(self) -> bool:
        """Whether the venue has what was decided."""
        return self.after is not None and self.after.status == OK

    @property
    def outcome(self) -> str:
        """"" when it is mended, else why it is not, in words."""
        if self.done:
            return ""
        left = self.after.reason if self.after is not None else self.row.reason
        return f"{left}; {self.refusal or 'nothing was refused, and yet it stayed'}"

    @property
    def words(self) -> str:
        """What is to be set: "leverage 50x -> 10x, cross -> isolated"."""
        row, words = self.row, []
        for method, args, _ in [*self.shared, *self.calls]:
            if method == POSITION_MODE:
                words.append("hedge -> one-way")
            if method == MARGIN_MODE:
                words.append(f"{row.margin_mode} -> {args[0]}")
            if method == "set_leverage":
                words.append(f"{row.leverage:g}x -> {args[0]:g}x")
        return ", ".join(words) or "nothing"


class Fixer:
    """Sets what differs, eight symbols at once within the venue's limits, and reads back.

    Lowering the leverage of an open isolated position is never sent: Binance refuses it (-4161),
    and elsewhere it would draw more of the wallet into the position.
    """

    def __init__(self, auditor: Auditor) -> None:
        if not auditor.store.has("setLeverage"):
            raise SettingError(
                f"{auditor.store.exchange}: ccxt cannot set the leverage there; set it by hand"
            )
        self.auditor = auditor

    def plan(self, audit: Audit) -> list[Step]:
        """A step for each row that is not OK, those that cannot be mended with the reason."""
        found = self.auditor.account.found
        return [self._step(r, found[r.symbol]) for r in audit.rows if r.status != OK]

    def _step(self, row: AuditRow, found: Found) -> Step:
        step = Step(row)
        if row.leverage is None or (row.status == ERROR and found.margin_mode is None):
            step.refusal = "what is not known is not set"
            return step
        guard, decided = self.auditor.guard, self.auditor.decided
        mode = found.margin_mode
        if decided.margin_mode == ANY or mode is None:
            mode = guard.margin_mode  # no difference that anybody has decided
        isolated = found.margin_mode == ISOLATED
        leverage = row.decided
        if isolated and row.notional and row.leverage > leverage:
            step.refusal = (
                "leverage is not lowered on an open isolated position (Binance -4161): reduce it "
                "or close it first"
            )
            leverage = row.leverage
        elif isolated and row.notional and row.leverage < leverage:
            step.warning = "open isolated position: liquidation may come nearer"
        reading = Reading(row.leverage, mode, bool(found.hedged))
        for call in guard.changes(row.symbol, reading, leverage):
            (step.shared if self._is_shared(call) else step.calls).append(call)
        return step

    def _is_shared(self, call: Call) -> bool:
        whole_account = self.auditor.store.exchange in ACCOUNT_MARGIN_MODE
        return call[0] == POSITION_MODE or (call[0] == MARGIN_MODE and whole_account)

    def fix(
        self, steps: list[Step], progress: Progress = lambda done, total: None
    ) -> Audit:
        """Send what is planned, read back, and fill in every step's outcome."""
        auditor = self.auditor
        sent = {s.row.symbol: s for s in steps if s.sent}
        self._set_shared(list(sent.values()))
        by_symbol = {symbol: s for symbol, s in sent.items() if s.calls}

        def settle(symbol: str) -> str:
            calls = by_symbol[symbol].calls
            return "; ".join(r for c in calls if (r := auditor.guard.ask(*c[:2])))

        for symbol, refused in in_parallel(settle, by_symbol, progress).items():
            _add_refusal(by_symbol[symbol], refused)
        if sent:
            methods = {call[0] for s in sent.values() for call in (*s.shared, *s.calls)}
            auditor.reader.again(auditor.account, list(sent), methods)
        audit = auditor.judge()
        rows = {row.symbol: row for row in audit.rows}
        for step in steps:
            step.after = rows[step.row.symbol]
        return audit

    def _set_shared(self, steps: list[Step]) -> None:
        """Once for the whole account, what all of them need."""
        answers: dict[str, str] = {}
        for step in steps:
            for method, args, _ in step.shared:
                if method not in answers:
                    answers[method] = self.auditor.guard.ask(method, args)
                _add_refusal(step, answers[method])


def _add_refusal(step: Step, refused: str) -> None:
    if refused:
        step.refusal = "; ".join(filter(None, (step.refusal, f"the venue said: {refused}")))
