"""The exchange's own control: state, steps, faults, saving, and the live page."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from leverpack.errors import InputError
from leverpack.paper.faults import EVENT_KINDS, LINE_KINDS, Fault
from leverpack.paper.refusal import Refusal
from leverpack.paper.session import Session
from leverpack.paper.state import restore, to_state

PREFIX = "/paper/v1/"
MAX_STEPS = 100_000


class Admin:
    """Answers requests under ``/paper/v1/``: state, step, faults, requests, save, restore."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def page(self) -> str:
        """The live page."""
        return files("leverpack.paper").joinpath("page.html").read_text()

    def answer(self, method: str, path: str, body: str) -> tuple[int, Any]:
        """HTTP status and JSON value."""
        name = path.removeprefix(PREFIX)
        try:
            known = getattr(self, f"_{method.lower()}_{name}", None) if name.isalpha() else None
            if known is None:
                return 404, {"error": f"no {method} {path[:200]}"}
            return 200, known(_parsed(body))
        except InputError as fault:
            return 400, {"error": str(fault)}
        except Refusal as refusal:
            return 400, {"error": str(refusal)}

    def _get_state(self, sent: Any) -> Any:
        return self.session.summary()

    def _post_step(self, sent: Any) -> Any:
        """``{"candles": n}``: play on in lock-step; how many were played, and where it stands."""
        candles = sent.get("candles", 1)
        if type(candles) is not int or not 1 <= candles <= MAX_STEPS:
            raise InputError(f"candles must be a whole number from 1 to {MAX_STEPS}")
        played = self.session.step(candles)
        exchange = self.session.exchange
        return {"played": played, "now": exchange.now, "finished": exchange.finished}

    def _get_faults(self, sent: Any) -> Any:
        kinds = {"line": LINE_KINDS, "event": EVENT_KINDS}
        return {"rules": self.session.faults.listed(), "kinds": kinds}

    def _post_faults(self, sent: Any) -> Any:
        """One fault, or ``{"faults": [...]}``."""
        rows = sent.get("faults", [sent])
        if not isinstance(rows, list):
            raise InputError("faults must be a list")
        self.session.faults.add([Fault.from_mapping(row) for row in rows])
        return {"rules": self.session.faults.listed()}

    def _delete_faults(self, sent: Any) -> Any:
        self.session.faults.clear()
        self.session.venue.skew_ms = 0
        return {"rules": []}

    def _get_requests(self, sent: Any) -> Any:
        """How many requests of the protocol have come in, by method and path."""
        return dict(self.session.requests)

    def _delete_requests(self, sent: Any) -> Any:
        self.session.requests.clear()
        return {}

    def _get_save(self, sent: Any) -> Any:
        return to_state(self.session.exchange)

    def _post_restore(self, sent: Any) -> Any:
        restore(self.session.exchange, sent, "restore")
        self.session.start_clock()
        return {"now": self.session.exchange.now}


def _parsed(body: str) -> Any:
    if not body:
        return {}
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise InputError(f"the body is no JSON: {fault}") from fault
    if not isinstance(sent, dict):
        raise InputError("the body must be a JSON object")
    return sent
