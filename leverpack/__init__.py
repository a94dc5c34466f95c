"""Leveraged crypto strategies for Backtrader that behave in a backtest as at the exchange."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leverpack.errors import nearest

if TYPE_CHECKING:
    import backtrader as bt

    from leverpack import indicators
    from leverpack.backtest.broker import MarginBroker
    from leverpack.backtest.cerebro import Cerebro
    from leverpack.candles.feed import CandleFeed
    from leverpack.live.broker import CCXTLiveBroker
    from leverpack.live.feed import CCXTDataFeed
    from leverpack.live.paperbroker import CCXTPaperBroker
    from leverpack.live.store import CCXTStore

__version__ = "0.1.0"
__all__ = [
    "CCXTDataFeed", "CCXTLiveBroker", "CCXTPaperBroker", "CCXTStore", "CandleFeed", "Cerebro",
    "MarginBroker", "__version__", "bt", "indicators",
]  # fmt: skip

# Backtrader takes a second to import; whoever only wants the calculator should not wait for it.
_WHERE = {
    "CCXTDataFeed": ("leverpack.live.feed", "CCXTDataFeed"),
    "CCXTLiveBroker": ("leverpack.live.broker", "CCXTLiveBroker"),
    "CCXTPaperBroker": ("leverpack.live.paperbroker", "CCXTPaperBroker"),
    "CCXTStore": ("leverpack.live.store", "CCXTStore"),
    "CandleFeed": ("leverpack.candles.feed", "CandleFeed"),
    "Cerebro": ("leverpack.backtest.cerebro", "Cerebro"),
    "MarginBroker": ("leverpack.backtest.broker", "MarginBroker"),
    "bt": ("backtrader", None),
    "indicators": ("leverpack.indicators", None),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        hint = nearest(name, __all__, f"it has {', '.join(__all__)}")
        raise AttributeError(f"leverpack has no {name!r}; {hint}")
    module, attribute = _WHERE[name]
    found = import_module(module)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return __all__
