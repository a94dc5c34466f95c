"""What the user stream says of liquidations, margin calls, funding and settings."""

from __future__ import annotations

import json
from typing import Any

from leverpack.paper.hub import Listener
from leverpack.paper.session import Session
from tests.paper.stand import HOUR, START, SYMBOL, serving, session, tape

P = 100_000.0
QUIET = (P, P + 100, P - 100, P)


def listening(held: Session, stream: str = "") -> Listener:
    listener = Listener(listen_key=held.venue.new_listen_key())
    held.hub.join(listener)
    if stream:
        held.hub.subscribe(listener, stream)
    return listener


def said(listener: Listener) -> list[dict[str, Any]]:
    found = []
    while not listener.queue.empty():
        found.append(json.loads(listener.queue.get_nowait() or "null"))
    return found


def test_a_margin_call_and_then_a_liquidation():
    fall = (P - 8_700, P - 8_700, P - 20_000, P - 19_000)
    rows = [QUIET, (P, P, P - 8_700, P - 8_700), fall, QUIET]
    held = session(tape(rows), isolated=True, leverage=10, deposit=20_000.0)
    listener = listening(held, "!forceOrder@arr")
    with serving(held) as stand:
        sent = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "1"}
        stand.signed("POST", "order", **sent)
        held.exchange.change_tiers(_hard(held))
        stand.step(3)
        forced = stand.signed("GET", "forceOrders").body
        news = said(listener)
    call = next(n for n in news if n["e"] == "MARGIN_CALL")
    assert (call["p"][0]["s"], call["p"][0]["mt"], call["p"][0]["pa"]) == (
        SYMBOL, "ISOLATED", "1.000",
    )  # fmt: skip
    closing = next(n["o"] for n in news if n.get("o", {}).get("x") == "CALCULATED")
    assert closing["o"] == "LIQUIDATION"
    assert closing["c"].startswith("autoclose-")
    assert (closing["X"], closing["z"]) == ("FILLED", "1.000")
    public = next(n["o"] for n in news if n["e"] == "forceOrder")
    assert public["q"] == "1.000"
    account = [n["a"] for n in news if n["e"] == "ACCOUNT_UPDATE"][-1]
    assert account["P"][0]["pa"] == "0.000"
    assert float(account["B"][0]["wb"]) == round(held.exchange.books.account.wallet, 8)
    assert forced[0]["clientOrderId"] == closing["c"]


def _hard(held: Session) -> Any:
    from leverpack.margin.tiers import TierTable

    return TierTable.flat(SYMBOL, 0.012, 125.0, 0.0125)


def test_funding_says_the_position_only_where_it_is_isolated():
    for isolated, positions in ((True, 1), (False, 0)):
        held = session(tape([QUIET] * 5, funding=[(2, 0.001)]), isolated=isolated)
        listener = listening(held)
        with serving(held) as stand:
            sent = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.1"}
            stand.signed("POST", "order", **sent)
            said(listener)
            stand.step(2)
            paid = said(listener)[-1]
        assert (paid["E"], paid["a"]["m"]) == (START + 2 * HOUR, "FUNDING_FEE")
        assert len(paid["a"]["P"]) == positions
        assert float(paid["a"]["B"][0]["wb"]) == round(held.exchange.books.account.wallet, 8)


def test_a_listener_too_far_behind_is_cut_off():
    listener = Listener()
    for _ in range(10_001):
        listener.send("x")
    assert listener.muted
    texts = [listener.queue.get_nowait() for _ in range(listener.queue.qsize())]
    assert texts.count("x") == 10_000
    assert texts[-1] is None
