"""The paper exchange: a day of one-minute candles through ccxt, and requests a second."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.pro

from benchmarks.common import machine, make_csv
from leverpack.paper.client import point_at

DAY = 1_440
LIMIT_S, LEAST_PER_S = 60.0, 500.0
SYMBOL = "BTC/USDT:USDT"
CONFIG = {"apiKey": "paper", "secret": "paper", "enableRateLimit": False}


def main() -> None:
    """Print both figures, and whether they reach their marks."""
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = make_csv(Path(folder) / "minutes.csv", DAY + 2)
        day = with_exchange(path, a_day)
        rate = with_exchange(path, requests_a_second)
    print(f"\n{DAY:,} one-minute candles in lock-step, a market order an hour, through ccxt.pro "
          f"over HTTP and WebSocket (at most {LIMIT_S:.0f} s)")
    print(f"  {day['seconds']:.2f} s, {day['orders']} orders, {day['candles']:,} candles heard")
    print(f"\nrequests a second, the server on one core (at least {LEAST_PER_S:.0f})")
    for name, value in rate.items():
        print(f"  {name:<28} {value:8,.0f}")
    reached = day["seconds"] <= LIMIT_S and min(rate.values()) >= LEAST_PER_S
    print(f"  marks: {'reached' if reached else 'missed'}")


def with_exchange(path: Path, work: Any) -> dict[str, float]:
    """Run ``work(url)`` beside a paper exchange in a process of its own, on one core."""
    process = subprocess.Popen(
        [sys.executable, "-m", "leverpack", "paper", "--data", str(path), "--symbol", SYMBOL,
         "--speed", "0", "--port", "0", "--no-rate-limits"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    assert process.stdout is not None
    url = process.stdout.readline().split()[3]
    try:
        found: dict[str, float] = asyncio.run(work(url))
        return found
    finally:
        process.terminate()
        process.wait()


async def a_day(url: str) -> dict[str, float]:
    """Play a day: step, hear the candle close, and trade once an hour."""
    client = point_at(ccxt.pro.binanceusdm(CONFIG), url)
    await client.load_markets()
    orders = heard = 0
    started = time.perf_counter()
    async with aiohttp.ClientSession() as line:
        listening = asyncio.ensure_future(client.watch_ohlcv(SYMBOL, "1m"))
        await asyncio.sleep(0.5)
        for minute in range(DAY):
            async with line.post(f"{url}/paper/v1/step", json={"candles": 1}) as answer:
                await answer.read()
            await listening
            heard += 1
            listening = asyncio.ensure_future(client.watch_ohlcv(SYMBOL, "1m"))
            if minute % 60 == 30:
                side = "buy" if minute // 60 % 2 == 0 else "sell"
                await client.create_order(SYMBOL, "market", side, 0.01)
                orders += 1
    listening.cancel()
    seconds = time.perf_counter() - started
    trades = await client.fetch_my_trades(SYMBOL, limit=1000)
    await client.close()
    assert len({t["order"] for t in trades}) == orders == 24
    return {"seconds": seconds, "orders": orders, "candles": heard}


async def requests_a_second(url: str) -> dict[str, float]:
    """Signed and public requests of ccxt's making, sent side by side as fast as they come back."""
    client = point_at(ccxt.pro.binanceusdm(CONFIG), url)
    await client.load_markets()
    price = (await client.fetch_ticker(SYMBOL))["last"] * 0.97
    found = {}
    async with aiohttp.ClientSession() as line:
        for name, api, method, path, params in (
            ("klines", "fapiPublic", "GET", "klines",
             {"symbol": "BTCUSDT", "interval": "1m", "limit": 100}),
            ("account, signed", "fapiPrivateV3", "GET", "account", {}),
            ("order placed, signed", "fapiPrivate", "POST", "order",
             {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01",
              "price": client.price_to_precision(SYMBOL, price), "timeInForce": "IOC"}),
        ):  # fmt: skip
            signed = [client.sign(path, [api], method, dict(params)) for _ in range(2_000)]
            started = time.perf_counter()
            await asyncio.gather(*(_send(line, signed[i::4]) for i in range(4)))
            found[name] = len(signed) / (time.perf_counter() - started)
    await client.close()
    return found


async def _send(line: aiohttp.ClientSession, requests: list[dict[str, Any]]) -> None:
    for asked in requests:
        async with line.request(
            asked["method"], asked["url"], data=asked["body"], headers=asked["headers"]
        ) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()


if __name__ == "__main__":
    main()
