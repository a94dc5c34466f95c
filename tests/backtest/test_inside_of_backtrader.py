"""Fails loudly when the parts of Backtrader's broker that the margin broker leans on change."""

from __future__ import annotations

import hashlib
import inspect

import backtrader as bt
import pytest

LEANED_ON = {
    "_take_children": "bdd4b935ce30bcb6",
    "submit": "1aa2630ce19db923",
    "transmit": "b71454209f44fe08",
    "submit_accept": "8dfc703c756ab4df",
    "_bracketize": "42bb368c3c7f06f9",
    "_ococheck": "fcead339fd075696",
    "_ocoize": "5c53908e36992729",
    "cancel": "4aa97df93f6759f7",
    "notify": "e2ad8d4bc987e000",
    "_try_exec_market": "e584614f17751a82",
    "_try_exec_close": "67977f1093afc166",
    "_try_exec_limit": "91fd737ca911b6b2",
    "_try_exec_stop": "35d598337ebb034b",
    "_try_exec_stoplimit": "18f634e39e3e5109",
    "_slip_up": "9160f4b551cf967e",
    "_slip_down": "f47ae3f0ac0a39ac",
}


@pytest.mark.parametrize("name", LEANED_ON)
def test_the_source_is_what_the_broker_was_written_against(name: str):
    source = inspect.getsource(getattr(bt.brokers.BackBroker, name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == LEANED_ON[name], (
        f"BackBroker.{name} has changed: read it, then adapt leverpack.backtest"
    )
