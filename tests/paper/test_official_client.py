"""Binance's own client library, which checks every answer against the venue's documented shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.paper.stand import SYMBOL, Stand, serving, session, walk

pytest.importorskip("binance_sdk_derivatives_trading_usds_futures")
from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(walk(60), spread=0.0001, funding=[(8, 0.0001)])) as running:
        yield running


def client_of(stand: Stand) -> Any:
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(
            api_key="paper", api_secret="paper", base_path=stand.url, retries=0
        ),
        config_ws_streams=ConfigurationWebSocketStreams(
            stream_url="ws" + stand.url.removeprefix("http")
        ),
    )


def test_market_data(stand: Stand):
    rest = client_of(stand).rest_api
    info = rest.exchange_information().data()
    assert [s.symbol for s in info.symbols] == [SYMBOL]
    stand.step(10)
    now = stand.session.exchange.now
    assert rest.check_server_time().data().server_time == now
    assert len(rest.kline_candlestick_data(symbol=SYMBOL, interval="1h").data()) == 11
    assert rest.get_funding_rate_history(symbol=SYMBOL).data()[0].funding_rate == "0.00010000"
    book = rest.order_book(symbol=SYMBOL, limit=5).data()
    assert float(book.bids[0][0]) < float(book.asks[0][0])
    assert float(rest.mark_price(symbol=SYMBOL).data().actual_instance.mark_price) > 0


def test_leverage_orders_positions_and_account(stand: Stand):
    rest = client_of(stand).rest_api
    assert rest.change_initial_leverage(symbol=SYMBOL, leverage=7).data().leverage == 7
    assert rest.change_margin_type(symbol=SYMBOL, margin_type="ISOLATED").data().code == 200
    config = rest.symbol_configuration(symbol=SYMBOL).data()[0]
    assert (config.leverage, config.margin_type) == (7, "ISOLATED")
    with pytest.raises(BadRequestError) as refused:
        rest.change_initial_leverage(symbol=SYMBOL, leverage=126)
    assert refused.value.status_code == -4028
    order = rest.new_order(
        symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.05, new_order_resp_type="RESULT"
    ).data()
    assert (order.status, order.executed_qty) == ("FILLED", "0.050")
    books = stand.session.exchange.books
    position = rest.position_information_v3(symbol=SYMBOL).data()[0]
    assert float(position.entry_price) == pytest.approx(books.position(SYMBOL).entry)
    assert position.position_amt == "0.050"
    low, _ = books.liquidation_range(SYMBOL)
    assert float(position.liquidation_price) == pytest.approx(low, abs=1e-8)
    for account in (rest.account_information_v2().data(), rest.account_information_v3().data()):
        assert float(account.total_wallet_balance) == pytest.approx(books.account.wallet, abs=1e-8)
    assert rest.futures_account_balance_v3().data()[0].asset == "USDT"
    assert rest.account_trade_list(symbol=SYMBOL).data()[0].order_id == order.order_id
    kinds = [row.income_type for row in rest.get_income_history().data()]
    assert kinds == ["TRANSFER", "COMMISSION"]
    tiers = rest.notional_and_leverage_brackets(symbol=SYMBOL).data()
    brackets = getattr(tiers, "actual_instance", tiers)
    assert (brackets[0] if isinstance(brackets, list) else brackets).symbol == SYMBOL


def test_resting_and_conditional_orders(stand: Stand):
    rest = client_of(stand).rest_api
    last = stand.session.exchange.last(SYMBOL)
    limit = rest.new_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", quantity=0.01, price=round(last * 0.97, 1),
        time_in_force="GTC", new_client_order_id="mine-1",
    ).data()  # fmt: skip
    assert rest.query_order(symbol=SYMBOL, order_id=limit.order_id).data().status == "NEW"
    changed = rest.modify_order(
        symbol=SYMBOL, side="BUY", order_id=limit.order_id, quantity=0.02,
        price=round(last * 0.96, 1),
    ).data()  # fmt: skip
    assert changed.orig_qty == "0.020"
    stop = rest.new_algo_order(
        algo_type="CONDITIONAL", symbol=SYMBOL, side="SELL", type="STOP_MARKET", quantity=0.01,
        trigger_price=round(last * 0.9, 1), client_algo_id="stop-1",
    ).data()  # fmt: skip
    listed = rest.current_all_algo_open_orders(symbol=SYMBOL).data()
    assert [a.algo_id for a in listed] == [stop.algo_id]
    assert rest.cancel_algo_order(algo_id=stop.algo_id).data().client_algo_id == "stop-1"
    gone = rest.cancel_order(symbol=SYMBOL, orig_client_order_id="mine-1").data()
    assert gone.status == "CANCELED"


def test_user_stream(stand: Stand):
    async def scenario() -> list[str]:
        client = client_of(stand)
        rest = client.rest_api
        key = (await asyncio.to_thread(rest.start_user_data_stream)).data().listen_key
        streams = await client.websocket_streams.create_connection()
        heard: list[str] = []
        user = await streams.user_data(key)
        user.on("message", lambda data: heard.append(type(_inner(data)).__name__))
        for _ in range(100):
            if stand.session.hub.users():
                break
            await asyncio.sleep(0.05)
        await asyncio.to_thread(
            lambda: rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.05)
        )
        await asyncio.to_thread(lambda: rest.change_initial_leverage(symbol=SYMBOL, leverage=33))
        for _ in range(100):
            if len(heard) >= 4:
                break
            await asyncio.sleep(0.05)
        await streams.close_connection(close_session=True)
        return heard

    heard = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert heard == ["OrderTradeUpdate", "OrderTradeUpdate", "AccountUpdate", "AccountConfigUpdate"]


def _inner(data: Any) -> Any:
    return getattr(data, "actual_instance", data)
