"""Fails loudly when the parts of Backtrader that broker and loop lean on change."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import backtrader as bt
import pytest
from backtrader.linebuffer import LineActions, LineBuffer
from backtrader.lineiterator import LineIterator

LEANED_ON = {
    bt.brokers.BackBroker._take_children: "bdd4b935ce30bcb6",
    bt.brokers.BackBroker.submit: "1aa2630ce19db923",
    bt.brokers.BackBroker.transmit: "b71454209f44fe08",
    bt.brokers.BackBroker.submit_accept: "8dfc703c756ab4df",
    bt.brokers.BackBroker._bracketize: "42bb368c3c7f06f9",
    bt.brokers.BackBroker._ococheck: "fcead339fd075696",
    bt.brokers.BackBroker._ocoize: "5c53908e36992729",
    bt.brokers.BackBroker.cancel: "4aa97df93f6759f7",
    bt.brokers.BackBroker.notify: "e2ad8d4bc987e000",
    bt.brokers.BackBroker._try_exec_market: "e584614f17751a82",
    bt.brokers.BackBroker._try_exec_close: "67977f1093afc166",
    bt.brokers.BackBroker._try_exec_limit: "91fd737ca911b6b2",
    bt.brokers.BackBroker._try_exec_stop: "35d598337ebb034b",
    bt.brokers.BackBroker._try_exec_stoplimit: "18f634e39e3e5109",
    bt.brokers.BackBroker._slip_up: "9160f4b551cf967e",
    bt.brokers.BackBroker._slip_down: "f47ae3f0ac0a39ac",
    bt.Cerebro._runonce: "c13179923cde2641",
    bt.Cerebro._brokernotify: "69e93a0f90550b6c",
    bt.Strategy._oncepost: "980361d4a31f0eb5",
    bt.Strategy._notify: "3bc7cf6a81a3073b",
    bt.Strategy._next_analyzers: "7b60ab4c771c0721",
    bt.Strategy._next_observers: "fb20040737bb3f8e",
    bt.Strategy._getminperstatus: "fad88e260175334d",
    bt.Strategy.clear: "211d38a33e52563a",
    bt.observers.Broker.next: "30242361196abcf6",
    LineIterator._once: "95cbfefb2044f10c",
    LineActions._once: "f24f1223b2ac5304",
    LineBuffer.advance: "93426ecb40879a38",
    LineBuffer.home: "3debb90f22654bae",
    LineBuffer.oncebinding: "c80b5902d8ddea57",
}


@pytest.mark.parametrize("method", LEANED_ON, ids=lambda m: m.__qualname__)
def test_the_source_is_what_leverpack_was_written_against(method: Any) -> None:
    source = inspect.getsource(method)
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == LEANED_ON[method], (
        f"Backtrader's {method.__qualname__} has changed: read it, then adapt leverpack.backtest"
    )
