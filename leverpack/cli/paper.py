"""``leverpack paper``: a local exchange on replayed candles, for clients that know Binance."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverpack.errors import SettingError

_SHOWN = 10  # contracts in the greeting

if TYPE_CHECKING:
    from leverpack.paper.session import Session


def paper(
    data: Annotated[
        list[Path], typer.Option(help="Candles: CSV or Parquet; once for each symbol.")
    ],
    symbol: Annotated[
        list[str] | None, typer.Option(help="BTC/USDT:USDT; in the order of --data.")
    ] = None,
    contracts: Annotated[int, typer.Option(
        help="List so many in all: more than --data has, under made names, on the first candles."
    )] = 0,
    mark: Annotated[
        list[Path] | None, typer.Option(help="Mark candles, in the order of --data.")
    ] = None,
    funding: Annotated[
        list[Path] | None, typer.Option(help="Funding settlements, in the order of --data.")
    ] = None,
    tiers: Annotated[Path | None, typer.Option(help="Tier table, CSV or ccxt JSON.")] = None,
    speed: Annotated[
        float, typer.Option(help="Times real time; 0 moves on only when the client says so.")
    ] = 1.0,
    balance: Annotated[float, typer.Option(help="Deposit, quote currency.")] = 10_000.0,
    start: Annotated[str | None, typer.Option(
        "--from", help="Day or time, UTC, at which the replay starts; candles before are history."
    )] = None,
    host: Annotated[str, typer.Option(
        help="Address to listen on; any but 127.0.0.1 lets others trade and control it."
    )] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8686,
    key: Annotated[str, typer.Option(help="API key that clients must send.")] = "paper",
    secret: Annotated[str, typer.Option(help="API secret that clients must sign with.")] = "paper",
    leverage: Annotated[int, typer.Option(help="Leverage that contracts start with.")] = 20,
    isolated: Annotated[bool, typer.Option(help="Start with isolated margin.")] = False,
    hedged: Annotated[bool, typer.Option(help="Start in hedge mode.")] = False,
    venue: Annotated[
        str, typer.Option(help="Whose rules, fees and protocol: binanceusdm or bybit.")
    ] = "binanceusdm",
    maker: Annotated[
        float | None, typer.Option(help="Maker fee, fraction of notional; else the venue's.")
    ] = None,
    taker: Annotated[
        float | None, typer.Option(help="Taker fee, fraction of notional; else the venue's.")
    ] = None,
    spread: Annotated[float, typer.Option(help="Between bid and ask, fraction.")] = 0.0001,
    slippage: Annotated[float, typer.Option(help="Of every fill that takes, fraction.")] = 0.0,
    depth: Annotated[
        float, typer.Option(help="Share of a candle's volume in the book; 0: without end.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of book and random faults.")] = 1,
    faults: Annotated[Path | None, typer.Option(help="Faults: TOML or JSON.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="State file: read at the start if there, written at the end")
    ] = None,
    rate_limits: Annotated[bool, typer.Option(help="Keep the venue's rate limits.")] = True,
) -> None:
    """Run a local exchange that replays candles and speaks Binance's or Bybit's protocol."""
    from leverpack.margin.profiles import venue_profile
    from leverpack.paper.orders import PaperSettings

    profile = venue_profile(venue)
    settings = PaperSettings(
        venue=venue, deposit=balance, api_key=key, secret=secret,
        maker=profile.maker if maker is None else maker,
        taker=profile.taker if taker is None else taker,
        spread=spread, slippage=slippage, depth=depth, leverage=leverage, isolated=isolated,
        hedged=hedged, seed=seed,
    )  # fmt: skip
    if not rate_limits:
        settings.weight_limit = settings.order_limit_minute = settings.order_limit_10s = 0
    if not 0 <= port <= 65_535:
        raise SettingError(f"--port must lie in 0..65535, not {port}")
    session = _session(
        settings, data, symbol or [], mark or [], funding or [], tiers, _when(start), speed, state,
        contracts,
    )
    if faults is not None:
        from leverpack.paper.faults import read_faults

        session.faults.add(read_faults(faults))
    from leverpack.cli.serving import serve
    from leverpack.paper.server import serving

    serve(serving(session, host=host, port=port), lambda server: _greeting(session, server.url))
    if state is not None:
        from leverpack.paper.state import save

        save(session.exchange, state)
        typer.echo(f"state: {state}")


def _session(
    settings: Any, data: list[Path], symbols: list[str], marks: list[Path], fundings: list[Path],
    tiers: Path | None, start_ms: int | None, speed: float, state: Path | None, contracts: int,
) -> Session:  # fmt: skip
    from leverpack.candles.reader import read_candles, read_funding
    from leverpack.margin.tiers import read_tiers
    from leverpack.paper.exchange import Exchange
    from leverpack.paper.instrument import instrument_for, made_instrument
    from leverpack.paper.session import Session
    from leverpack.paper.state import load
    from leverpack.paper.tape import Tape

    for option, given in (("--symbol", symbols), ("--mark", marks), ("--funding", fundings)):
        if given and len(given) != len(data):
            raise SettingError(
                f"{option} was given {len(given)} times and --data {len(data)} times; give both "
                "for each symbol"
            )
    tapes = []
    for i, path in enumerate(data):
        name = symbols[i] if symbols else None
        candles = read_candles(path, symbol=name)
        tapes.append(
            Tape(
                instrument_for(candles, symbol=name or ""), candles,
                read_candles(marks[i], kind="mark") if marks else None,
                read_funding(fundings[i]) if fundings else None,
                start_ms,
            )
        )  # fmt: skip
    tapes += [tapes[0].twin(made_instrument(tapes[0].instrument, i))
              for i in range(len(tapes) + 1, contracts + 1)]  # fmt: skip
    exchange = Exchange(settings, tapes, read_tiers(tiers) if tiers is not None else None)
    if state is not None and state.exists():
        load(exchange, state)
    return Session(exchange, speed=speed)


def _greeting(session: Session, url: str) -> str:
    settings = session.exchange.settings
    pace = f"{session.speed:g} times real time" if session.speed else "lock-step"
    step = "" if session.speed else (
        f"next candle:  curl -X POST {url}/paper/v1/step -d '{{\"candles\": 1}}'\n"
    )  # fmt: skip
    return (
        f"paper exchange at {url} ({pace}, {_named(list(session.exchange.tapes))}); "
        f"live page: {url}/\n{step}\n"
        "import ccxt\n"
        "from leverpack.paper.client import point_at\n\n"
        f"exchange = ccxt.{settings.venue}({{'apiKey': {settings.api_key!r}, "
        f"'secret': {settings.secret!r}}})\n"
        f"point_at(exchange, {url!r})  # no request can reach the real venue any more\n"
        "print(exchange.fetch_balance()['total'])\n\n"
        "Ctrl-C ends it"
    )


def _named(symbols: list[str]) -> str:
    more = len(symbols) - _SHOWN
    return ", ".join(symbols[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _when(text: str | None) -> int | None:
    if text is None:
        return None
    from datetime import UTC

    try:
        when = (
            datetime.combine(date.fromisoformat(text), datetime.min.time())
            if len(text) == 10
            else datetime.fromisoformat(text)
        )
    except ValueError:
        raise SettingError(f"--from {text}: write 2025-01-31 or 2025-01-31T12:00") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
