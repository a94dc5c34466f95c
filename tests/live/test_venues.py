"""The venues' records: who is refused and why, Kraken's leverage per order, what fills are new."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import ccxt
import pytest
from typer.testing import CliRunner

from leverpack.cli import app
from leverpack.config import Settings
from leverpack.errors import SettingError
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.fills import ByTime, RisingIds
from leverpack.live.store import CCXTStore
from leverpack.live.venues import TRADED, require_traded, venue_rules
from tests.paper.stand import UNIFIED

DAY = 86_400_000
NOW = 1_760_000_000_000
REFUSED = {
    "okx": "count in pieces", "kucoinfutures": "count in pieces",
    "krakenfutures": "margin mode", "hyperliquid": "signed by a wallet",
    "kraken": "a position for each order", "binance": "binanceusdm has the perpetuals",
    "gate": "nobody has tried",
}  # fmt: skip


@pytest.mark.parametrize(("exchange", "words"), REFUSED.items())
def test_refused_in_one_sentence(exchange: str, words: str):
    store = CCXTStore(exchange, settings=Settings(), env_file=None)
    with pytest.raises(SettingError, match=words) as told:
        CCXTLiveBroker(store=store)
    assert str(told.value).startswith(f"no orders are sent to {exchange}: ")
    assert "trade on binanceusdm or bybit" in str(told.value)


def test_refused_at_the_command_line_before_anything_is_made(tmp_path: Path):
    journal = tmp_path / "j.db"
    ran = CliRunner().invoke(
        app, ["live", "--symbol", UNIFIED, "--venue", "okx", "--journal", str(journal)]
    )
    assert isinstance(ran.exception, SettingError)
    assert "no orders are sent to okx" in str(ran.exception)
    assert list(tmp_path.iterdir()) == []


def test_those_that_are_traded():
    assert TRADED == ("binanceusdm", "bybit")
    for name in TRADED:
        require_traded(venue_rules(name))


def test_steps_of_leverage():
    binance, bybit, other = (venue_rules(name) for name in ("binanceusdm", "bybit", "okx"))
    assert [rules.settable(12.349) for rules in (binance, bybit, other)] == [12.0, 12.34, 12.349]
    assert bybit.settable(1.15) == 1.15  # on the step already, whatever the binary fraction says


# -- Bybit's answers -----------------------------------------------------------------------------


def test_bybits_margin_mode_is_the_accounts():
    def reading(leverage: str, index: int, mode: str, status: int = 6) -> Any:
        position = {"info": {"info": {"leverage": leverage, "positionIdx": index}}}
        account = {"marginMode": mode, "info": {"unifiedMarginStatus": status}}
        return venue_rules("bybit").reading([position, account])

    assert reading("7.5", 0, "isolated") == ({7.5}, "isolated", False)
    assert reading("10", 1, "cross") == ({10.0}, "cross", True)
    assert reading("", 0, "portfolio") == (set(), "portfolio", False)
    assert "unified" in reading("10", 0, "cross", status=1)[1]


def test_bybits_money_with_isolated_margin_where_the_account_wide_figures_are_empty():
    coin = {"coin": "USDT", "equity": "1010", "walletBalance": "1000"}
    account = {"totalEquity": "1010", "totalAvailableBalance": "", "coin": [coin]}
    balance = {"USDT": {"total": 1000.0, "free": 640.0}, "info": {"result": {"list": [account]}}}
    money = venue_rules("bybit").money(balance, "USDT", 10.0)
    assert (money.equity, money.free, money.wallet) == (1010.0, 640.0, 1000.0)
    held = {"positionMargin": None, "initialMargin": 25.0, "unrealizedPnl": 1.0}
    assert venue_rules("bybit").position_margin(held) == 25.0


# -- Kraken --------------------------------------------------------------------------------------

PAIR = {
    "altname": "XBTUSD", "wsname": "XBT/USD", "aclass_base": "currency", "base": "XXBT",
    "aclass_quote": "currency", "quote": "ZUSD", "cost_decimals": 5, "pair_decimals": 1,
    "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [2, 3, 4, 5], "leverage_sell": [2, 3],
    "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "ordermin": "0.0001", "costmin": "0.5",
    "tick_size": "0.1", "status": "online",
}  # fmt: skip


class Krakens(BaseHTTPRequestHandler):
    """Says what pairs there are, and keeps what orders it was sent."""

    sent: list[dict[str, str]]

    def do_GET(self) -> None:
        self._say({"XXBTZUSD": PAIR} if "AssetPairs" in self.path else {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.sent.append({name: values[0] for name, values in parse_qs(body).items()})
        self._say({"descr": {"order": "buy 0.01 XBTUSD @ market"}, "txid": ["OABC"]})

    def _say(self, result: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"error": [], "result": result}).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def kraken() -> Iterator[Any]:
    sent: list[dict[str, str]] = []
    handler = type("Handler", (Krakens,), {"sent": sent})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = ccxt.kraken({"apiKey": "key", "secret": "c2VjcmV0", "enableRateLimit": False})
    here = f"http://127.0.0.1:{server.server_port}"
    client.urls["api"] = dict.fromkeys(client.urls["api"], here)
    client.has["fetchCurrencies"] = False
    try:
        yield client, sent
    finally:
        server.shutdown()
        server.server_close()


def test_krakens_opening_order_carries_a_leverage_out_of_the_markets_list(kraken: Any):
    client, sent = kraken
    rules = venue_rules("kraken")
    market = client.load_markets()["BTC/USD"]
    assert rules.per_order and rules.settable(3.9) == 3.0
    assert rules.objection(market, "buy", 5.0) == ""
    assert rules.objection(market, "sell", 3.0) == "" == rules.objection(market, "sell", 1.0)
    assert "a sell at 1x, 2x, 3x only, not at 5x" in rules.objection(market, "sell", 5.0)
    client.create_order("BTC/USD", "market", "buy", 0.01, None, rules.order_params(3.0))
    client.create_order("BTC/USD", "market", "buy", 0.01, None, rules.order_params(1.0))
    assert [order.get("leverage") for order in sent] == ["3", None]


# -- fills ---------------------------------------------------------------------------------------


def fill(ident: str, time: int, *, order: str = "o", kind: str = "Trade", seq: int = 0) -> Any:
    return {"id": ident, "timestamp": time, "order": order,
            "info": {"execType": kind, "seq": seq}}  # fmt: skip


def noted(ident: str, time: int) -> dict[str, Any]:
    return {"trade_id": ident, "time_ms": time}


def by_time() -> ByTime:
    cursor = venue_rules("bybit").fills_of(UNIFIED)
    assert isinstance(cursor, ByTime)
    return cursor


def test_rising_ids():
    cursor = RisingIds(UNIFIED)
    cursor.begin([], NOW)
    assert cursor.calls(NOW)[0][1][3] == {}
    cursor.pass_over([fill("7", 1), fill("9", 2)], {"mine"})
    new = cursor.fresh([fill("9", 2), fill("11", 4), fill("10", 3)])
    assert [t["id"] for t in new] == ["10", "11"]
    cursor.take(new[-1])
    assert cursor.calls(NOW)[0][1][3] == {"fromId": 12}
    assert cursor.begin([noted("-3", 0), noted("4", 5)], NOW) and cursor.last == 4
    assert not cursor.begin([noted("-3", 0)], NOW)  # adopted: the venue's are still to pass over


def test_by_time_each_is_taken_once_and_funding_is_none():
    cursor = by_time()
    cursor.begin([noted("a", NOW - 500), noted("b", NOW)], NOW)
    assert cursor.calls(NOW)[0][1][1] == NOW - 500  # never before the first that is known
    rows = [fill("b", NOW), fill("d", NOW + 5, seq=9), fill("c", NOW + 5, seq=8),
            fill("f", NOW + 6, kind="Funding"), fill("old", NOW - 9_000)]  # fmt: skip
    new = cursor.fresh(rows)
    assert [t["id"] for t in new] == ["c", "d"]
    for trade in new:
        cursor.take(trade)
    assert cursor.fresh([*rows, fill("late", NOW + 1)])[0]["id"] == "late"
    assert cursor.calls(NOW)[0][1][3] == {"execType": None}


def test_by_time_without_a_journal_what_is_there_is_passed_over_but_ones_own():
    cursor = by_time()
    assert not cursor.begin([noted("-1", 0)], NOW)  # adopted
    assert cursor.calls(NOW)[0][1][1] >= NOW - 7 * DAY
    there = [fill("theirs", NOW - 40_000), fill("mine", NOW - 30_000, order="x"),
             fill("after", NOW - 20_000)]  # fmt: skip
    cursor.pass_over(there, {"x"})
    assert [t["id"] for t in cursor.fresh(there)] == ["mine"]
    assert cursor.calls(NOW)[0][1][1] == NOW - 40_000


def test_by_time_a_long_absence_is_asked_for_in_pieces_and_moves_on_when_answered():
    cursor = by_time()
    cursor.begin([noted("a", NOW - 20 * DAY)], NOW)
    asked = cursor.calls(NOW)
    starts = [call[1][1] for call in asked]
    assert len(asked) == 3 and starts[1] - starts[0] == 7 * DAY
    assert [call[1][3].get("until") for call in asked] == [*starts[1:], None]
    assert len(cursor.calls(NOW)) == 3  # it was not answered: nothing is left out
    cursor.fresh([])
    assert len(cursor.calls(NOW)) == 1


def test_by_time_a_full_answer_is_not_taken_but_asked_for_page_by_page():
    cursor = by_time()
    cursor.begin([noted("a", NOW)], NOW)
    cursor.calls(NOW)
    rows = [fill(f"t{i}", NOW + i) for i in range(150)]
    assert cursor.fresh(rows[50:]) == [] and cursor.behind
    _, args, _ = cursor.calls(NOW)[0]
    assert args[3]["paginate"] and args[2] is None
    assert len(cursor.fresh(rows)) == 150 and not cursor.behind
