"""Backtrader's plot with current matplotlib: without a display, in a notebook, with its dates.

Importing ``backtrader.plot`` switches matplotlib to TkAgg, whatever was chosen, and a machine
without a display cannot show that. So the backend that matplotlib would have taken (Agg where
there is no display, the inline one in a notebook) is looked up before and put back after it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import backtrader as bt
import matplotlib

_CHOSEN = matplotlib.get_backend()
import backtrader.plot  # noqa: E402

matplotlib.use(_CHOSEN, force=True)

_MOST_TICKS = 10
_MOMENT = "%Y-%m-%d %H:%M"


class Plotter(bt.plot.Plot_OldSync):
    """Backtrader's plotter with the parts replaced that current matplotlib breaks.

    Relied on of its inside: ``plot`` calls ``setlocators(lowest_axes)`` once a figure, with
    ``pinf.xreal`` the date numbers of the candles and ``pinf.daxis`` the axes; a test watches the
    source of both.
    """

    def plot(self, strategy: Any, *args: Any, iplot: bool = True, **kwargs: Any) -> list[Any]:
        """The figures of one strategy; [] without a candle.

        ``iplot`` is ignored: it asks for a notebook backend that current notebooks no longer
        have, while the inline one works as it is.
        """
        self._lowest: list[Any] = []
        figures = super().plot(strategy, *args, iplot=False, **kwargs) or []
        # Backtrader hides all labels and shows the lowest axes' again; matplotlib by now leaves
        # hidden ones out of what it is asked for, so that none comes back.
        for figure, lowest in zip(figures, self._lowest, strict=True):
            for ax in figure.axes:
                ax.tick_params(axis="x", labelbottom=ax is lowest, labelrotation=0)
        return list(figures)

    def setlocators(self, ax: Any) -> None:
        """Dates under the lowest axes.

        Backtrader's own locators hand its date numbers, days since the year 1, to matplotlib,
        whose days count from 1970: the axis stays without a single label.
        """
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        numbers, scheme = self.pinf.xreal, self.pinf.sch

        def at(position: float) -> datetime | None:
            index = round(position)
            return bt.num2date(numbers[index]) if 0 <= index < len(numbers) else None

        def label(position: float, _: Any = None) -> str:
            when = at(position)
            return "" if when is None else when.strftime(scheme.fmt_x_ticks or _MOMENT)

        def pointed_at(position: float) -> str:
            when = at(position)
            return "" if when is None else when.strftime(scheme.fmt_x_data or _MOMENT)

        for each in self.pinf.daxis.values():
            each.fmt_xdata = pointed_at
        ax.xaxis.set_major_locator(MaxNLocator(nbins=_MOST_TICKS, integer=True))
        ax.xaxis.set_major_formatter(FuncFormatter(label))
        self._lowest.append(ax)

    def show(self) -> None:
        """Show the figures where something can: a window, a notebook; not on a bare machine."""
        if matplotlib.get_backend().lower() != "agg":
            self.mpyplot.show()


def plot(
    cerebro: Any, *, plotter: Any, use: str | None, width: float, height: float, dpi: float,
    numfigs: int, start: Any, end: Any, **scheme: Any,
) -> list[list[Any]]:  # fmt: skip
    """What ``leverpack.Cerebro.plot`` does; see there."""
    if not hasattr(cerebro, "runstrats") or cerebro._exactbars > 0:
        return []  # nothing ran, or its candles were not kept
    if use is not None:
        matplotlib.use(use, force=True)
    plotter = plotter or Plotter(**scheme)
    figures: list[list[Any]] = []
    for strategies in cerebro.runstrats:
        for index, strategy in enumerate(strategies):
            drawn = plotter.plot(
                strategy, figid=index * 100, numfigs=numfigs, start=start, end=end
            )
            for figure in drawn:
                figure.set_size_inches(width, height)
                figure.set_dpi(dpi)
            figures.append(drawn)
        if any(figures):
            plotter.show()
    return figures
