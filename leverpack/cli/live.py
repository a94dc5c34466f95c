"""``leverpack live`` and ``leverpack stop``: a strategy on an exchange account, and its end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from leverpack.errors import SettingError

_WORDS = "real money"


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
    ] = Path("leverpack-live.db"),
    venue: Annotated[str | None, typer.Option(help="Exchange, as in the settings.")] = None,
    url: Annotated[str | None, typer.Option(
        help="Another server of the venue's protocol, such as `leverpack paper`."
    )] = None,
    on_unknown: Annotated[str, typer.Option(
        help="Orders and positions that the journal does not know: stop, adopt or close."
    )] = "stop",
    reset: Annotated[
        bool, typer.Option("--reset", help="Trade again after `leverpack stop` or a halt.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Trade real money without asking once more.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
) -> None:
    """Trade a strategy at an exchange: in its sandbox, unless the settings allow real money."""
    from analyzers import MarginAnalyzer
    from leverpack.backtest.run import find_strategy, parse_params
    from leverpack.cli.backtest import name_values
    from leverpack.config import DEFAULT, load_settings
    from leverpack.live.broker import ON_UNKNOWN
    from leverpack.live.run import LiveSettings, run_live, store_for

    loaded = load_settings(config=config, leverage=leverage, venue=venue)
    for sentence in loaded.warnings:
        typer.echo(f"leverpack: warning: {' '.join(sentence.split())}", err=True)
    if on_unknown not in ON_UNKNOWN:
        raise SettingError(
            f"--on-unknown must be one of {', '.join(ON_UNKNOWN)}, not {on_unknown!r}"
        )
    chosen = find_strategy(strategy)
    params = parse_params(chosen, name_values(param or []))
    if loaded.origins["leverage"] != DEFAULT and "leverage" in chosen.params._getkeys():  # type: ignore[attr-defined]
        params.setdefault("leverage", loaded.settings.leverage)
    settings = LiveSettings(
        loaded=loaded, strategy=chosen, params=params, symbols=symbol, timeframe=timeframe,
        journal=journal, history=history, url=url, on_unknown=on_unknown, reset=reset,
        analyzers={"margin": MarginAnalyzer},
    )  # fmt: skip
    store = store_for(settings)
    if store.trades_real_money and not yes:
        answer = typer.prompt(f"{store!r}: orders will cost money. Type '{_WORDS}' to go on")
        if answer.strip() != _WORDS:
            raise SettingError(f"not confirmed: type '{_WORDS}' or give --yes")
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s")
    ran = run_live(settings, store, say=typer.echo)
    found = ran.analyzers.margin.get_analysis()
    typer.echo(
        f"ended: equity {ran.broker.getvalue():,.2f}, fees {found['fees']:,.2f}, "
        f"margin calls {found['margin_calls']}, alerts {len(ran.broker.alerts)}"
    )


def stop(
    journal: Annotated[Path, typer.Option(help="Journal of the run that is to stop.")] = Path(
        "leverpack-live.db"
    ),
    level: Annotated[int, typer.Option(
        help="1: nothing new is opened; 2: and entries are cancelled; 3: and all is closed."
    )] = 3,
) -> None:
    """Halt a live run; it stays halted over restarts until `leverpack live --reset`."""
    from leverpack.files import put_text
    from leverpack.live.halting import LEVELS
    from leverpack.live.run import kill_file_of

    if level not in LEVELS:
        raise SettingError(f"--level must be 1, 2 or 3, not {level}")
    if not journal.is_file():
        raise SettingError(f"--journal {journal}: there is no such journal; check the path")
    switch = put_text(kill_file_of(journal), f"{level}\n", durable=True)
    typer.echo(f"{switch}: {LEVELS[level]}")
