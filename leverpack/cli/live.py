"""``leverpack live`` and ``leverpack stop``: a strategy on an exchange account, and its end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from leverpack.errors import SettingError

_WORDS = "real money"
_JOURNAL = Path("leverpack-live.db")


def live(
    symbol: Annotated[list[str], typer.Option(help="BTC/USDT:USDT; repeatable.")],
    strategy: Annotated[
        str, typer.Option(help="Strategy of the pack, or file.py:Class of your own.")
    ] = "conservative",
    param: Annotated[
        list[str] | None, typer.Option(help="Strategy parameter name=value; repeatable.")
    ] = None,
    timeframe: Annotated[str, typer.Option(help="Candle length: 1m, 15m, 1h, ...")] = "1h",
    leverage: Annotated[
        float | None, typer.Option(help="Leverage; else the settings' or the strategy's own.")
    ] = None,
    history: Annotated[int, typer.Option(help="Candles of warm-up.")] = 500,
    journal: Annotated[
        Path, typer.Option(help="Journal file, kept from run to run of one account.")
    ] = _JOURNAL,
    venue: Annotated[str | None, typer.Option(help="Exchange, as in the settings.")] = None,
    url: Annotated[str | None, typer.Option(
        help="Another server of the venue's protocol, such as `leverpack paper`."
    )] = None,
    paper: Annotated[bool, typer.Option(
        "--paper", help="Real candles, and orders filled here: no key, no order at the venue."
    )] = False,
    on_unknown: Annotated[str, typer.Option(
        help="Orders and positions that the journal does not know: stop, adopt or close."
    )] = "stop",
    protect: Annotated[float, typer.Option(
        help="A stop this far from the entry for a position that has none: 0.05 is 5 %; 0: none."
    )] = 0.0,
    countdown: Annotated[float, typer.Option(
        help="Seconds without a word of this run after which Binance cancels resting entries; "
        "0: never."
    )] = 0.0,
    reset: Annotated[
        bool, typer.Option("--reset", help="Trade again after `leverpack stop` or a halt.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Trade real money without asking once more.")
    ] = False,
    metrics: Annotated[
        int | None, typer.Option(help="Port of Prometheus metrics; none unless given.")
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address that the metrics are served on.")
    ] = "127.0.0.1",
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
) -> None:
    """Trade a strategy at an exchange: in its sandbox, unless the settings allow real money."""
    from analyzers import MarginAnalyzer
    from leverpack.backtest.run import find_strategy, parse_params
    from leverpack.cli.candleoptions import name_values
    from leverpack.config import DEFAULT, load_settings
    from leverpack.live.broker import ON_UNKNOWN
    from leverpack.live.run import LiveSettings, run_live, run_paper, store_for
    from leverpack.monitor.attach import attached

    loaded = load_settings(config=config, leverage=leverage, venue=venue)
    for sentence in loaded.warnings:
        typer.echo(f"leverpack: warning: {' '.join(sentence.split())}", err=True)
    if on_unknown not in ON_UNKNOWN:
        raise SettingError(
            f"--on-unknown must be one of {', '.join(ON_UNKNOWN)}, not {on_unknown!r}"
        )
    if paper and (reset or on_unknown != "stop" or journal != _JOURNAL):
        raise SettingError(
            "--paper starts flat and keeps nothing: leave --journal, --on-unknown and --reset out"
        )
    chosen = find_strategy(strategy)
    params = parse_params(chosen, name_values(param or []))
    if loaded.origins["leverage"] != DEFAULT and "leverage" in chosen.params._getkeys():  # type: ignore[attr-defined]
        params.setdefault("leverage", loaded.settings.leverage)
    settings = LiveSettings(
        loaded=loaded, strategy=chosen, params=params, symbols=symbol, timeframe=timeframe,
        journal=journal, history=history, url=url, on_unknown=on_unknown, reset=reset,
        analyzers={"margin": MarginAnalyzer}, paper=paper, protect=protect, countdown_s=countdown,
    )  # fmt: skip
    store = store_for(settings)
    if store.trades_real_money and not yes:
        answer = typer.prompt(f"{store!r}: orders will cost money. Type '{_WORDS}' to go on")
        if answer.strip() != _WORDS:
            raise SettingError(f"not confirmed: type '{_WORDS}' or give --yes")
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s")
    with attached(store, metrics_port=metrics, metrics_host=metrics_host, say=typer.echo):
        ran = (run_paper if paper else run_live)(settings, store, say=typer.echo)
    found = ran.analyzers.margin.get_analysis()
    last = f"trades {len(ran.broker.trade_records())}" if paper else \
        f"alerts {len(ran.broker.alerts)}"  # fmt: skip
    typer.echo(
        f"ended: equity {ran.broker.getvalue():,.2f}, fees {found['fees']:,.2f}, "
        f"margin calls {found['margin_calls']}, {last}"
    )


def stop(
    journal: Annotated[Path, typer.Option(help="Journal of the run that is to stop.")] = _JOURNAL,
    level: Annotated[int, typer.Option(
        help="1: nothing new is opened; 2: and entries are cancelled; 3: and all is closed."
    )] = 3,
) -> None:
    """Halt a live run; it stays halted over restarts until `leverpack live --reset`."""
    from leverpack.live.switch import LEVELS, ask_to_halt

    if level not in LEVELS:
        raise SettingError(f"--level must be 1, 2 or 3, not {level}")
    switch = ask_to_halt(journal, level)
    typer.echo(f"{switch}: {LEVELS[level]}")
