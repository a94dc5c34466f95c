"""Cerebro with a bar loop that does nothing twice; the results are Backtrader's to the last bit."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.backtest import fastloop


class Cerebro(bt.Cerebro):
    """A ``bt.Cerebro`` that runs preloaded backtests through the fast loop.

    ``loop`` says after a run which loop it took: "fast", or "backtrader: <why>" for what the
    fast loop does not cover (live, resampled and replayed data, saved memory, cheat-on-open,
    writers, ...).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loop = "not run yet"

    def addstrategy(self, strategy: Any, *args: Any, **kwargs: Any) -> Any:
        """Backtrader's; gives a strategy the ``log(text)`` that Cracktrader's guide calls."""
        if isinstance(strategy, type) and not hasattr(strategy, "log"):
            from strategies import LeverageStrategy

            strategy.log = LeverageStrategy.log  # type: ignore[attr-defined]
        return super().addstrategy(strategy, *args, **kwargs)

    def _runonce(self, runstrats: list[Any]) -> None:
        why = fastloop.objection(self, runstrats)
        if why:
            self.loop = f"backtrader: {why}"
            super()._runonce(runstrats)
            return
        self.loop = "fast"
        fastloop.run(self, runstrats)

    def _runnext(self, runstrats: list[Any]) -> None:
        why = "the feeds are not preloaded, or runonce is off"
        if self._doreplay:  # Backtrader sets it for both, and then loads bar by bar
            why = "a feed is resampled or replayed"
        self.loop = f"backtrader: {why}"
        super()._runnext(runstrats)

    def _runonce_old(self, runstrats: list[Any]) -> None:
        self.loop = "backtrader: oldsync is on"
        super()._runonce_old(runstrats)

    def _runnext_old(self, runstrats: list[Any]) -> None:
        self.loop = "backtrader: oldsync is on"
        super()._runnext_old(runstrats)

    def plot(
        self, plotter: Any = None, numfigs: int = 1, iplot: bool = True, start: Any = None,
        end: Any = None, width: float = 16, height: float = 9, dpi: float = 100,
        tight: bool = True, use: str | None = None, **kwargs: Any,
    ) -> list[list[Any]]:  # fmt: skip
        """Backtrader's ``plot`` with current matplotlib; returns the figures, a list a strategy.

        Works without a display (the figures are there to be saved) and inline in a notebook.
        ``width`` and ``height`` in inches; ``use`` names a matplotlib backend; ``kwargs`` are
        Backtrader's plot scheme (``style="candle"``, ``volume=False``, ...). ``iplot`` and
        ``tight`` are Backtrader's and change nothing here.
        """
        from leverpack.backtest.plotting import plot  # matplotlib takes a while to import

        return plot(
            self, plotter=plotter, use=use, width=width, height=height, dpi=dpi,
            numfigs=numfigs, start=start, end=end, **kwargs,
        )  # fmt: skip
