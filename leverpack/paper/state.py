"""A paper exchange as plain values: saved, read back, and carried on as if nothing had been."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from leverpack.errors import DataError
from leverpack.files import put_text
from leverpack.margin.books import Costs
from leverpack.margin.tiers import TierTable
from leverpack.paper.exchange import Exchange
from leverpack.paper.orders import Algo, Forced, Income, Order, Trade
from leverpack.paper.store import Store
from leverpack.paper.tape import Settlement

VERSION = 1


def to_state(exchange: Exchange) -> dict[str, Any]:
    """Everything that distinguishes this exchange from a new one on the same candles."""
    books, desk = exchange.books, exchange.desk
    account = books.account
    return {
        "version": VERSION,
        "now": exchange.now,
        "hedged": exchange.hedged,
        "called": exchange.called,
        "finished": exchange.finished,
        "changed_tiers": sorted(exchange.changed_tiers),
        "tapes": {symbol: _tape(exchange, symbol) for symbol in exchange.tapes},
        "orders": {"next": desk.orders.next_id, "all": _rows(desk.orders.all.values())},
        "algos": {"next": desk.algos.next_id, "all": _rows(desk.algos.all.values())},
        "trades": _rows(books.trades),
        "incomes": _rows(books.incomes),
        "forced": _rows(exchange.forced),
        "ids": [books.trade_id, books.income_id],
        "sums": [books.income_sum, books.income_moved],
        "account": {
            "deposits": account.deposits,
            "wallet": account.wallet,
            "costs": dataclasses.asdict(account.costs),
            "marks": dict(books.marks),
            "updated": dict(books.updated),
            "positions": {str(k): _position(p) for k, p in account.positions.items()},
        },
    }


def _rows(records: Any) -> list[dict[str, Any]]:
    return [dataclasses.asdict(record) for record in records]


def _tape(exchange: Exchange, symbol: str) -> dict[str, Any]:
    tape = exchange.tapes[symbol]
    return {
        "candles": len(tape),
        "first": int(tape.candles.ts[0]),
        "at": tape.at,
        "progress": tape.progress,
        "settled": tape.settled,
        "funding_hours": tape.funding_hours,
        "settlements": [dataclasses.astuple(s) for s in tape.settlements],
        "settle_bars": tape.settle_bars,
        "depth": exchange.depths[symbol].used(),
    }


def _position(position: Any) -> dict[str, Any]:
    return {
        "leverage": position.leverage,
        "isolated": position.isolated,
        "size": position.size,
        "entry": position.entry,
        "margin": position.margin,
        "costs": dataclasses.asdict(position.costs),
        "tiers": dataclasses.asdict(position.tiers) | {
            "valid_from": position.tiers.valid_from.isoformat()
        },
    }  # fmt: skip


def restore(exchange: Exchange, state: Mapping[str, Any], source: str = "state") -> None:
    """Put a new exchange on the same candles into a saved state; DataError where it cannot."""
    if not isinstance(state, Mapping) or state.get("version") != VERSION:
        raise DataError("this is no saved state of this version", source=source)
    try:
        _check_tapes(exchange, state["tapes"], source)
        _restore(exchange, state)
    except (KeyError, TypeError, ValueError, IndexError) as fault:
        raise DataError(f"the saved state is damaged at {fault}", source=source) from fault


def _check_tapes(exchange: Exchange, tapes: Mapping[str, Any], source: str) -> None:
    here = {s: (len(t), int(t.candles.ts[0])) for s, t in exchange.tapes.items()}
    there = {s: (t["candles"], t["first"]) for s, t in tapes.items()}
    if here != there:
        raise DataError(
            f"was saved on other candles ({', '.join(there)}); start with the same files",
            source=source,
        )


def _restore(exchange: Exchange, state: Mapping[str, Any]) -> None:
    desk, books = exchange.desk, exchange.books
    for name in ("now", "hedged", "called", "finished"):
        setattr(exchange, name, state[name])
    for symbol, saved in state["tapes"].items():
        tape = exchange.tapes[symbol]
        settlements = [Settlement(*row) for row in saved["settlements"]]
        tape.resume(
            saved["at"], saved["progress"], settlements, saved["settle_bars"], saved["settled"],
            saved["funding_hours"],
        )  # fmt: skip
        exchange.depths[symbol].new_candle(tape.volume, tape.at)
        exchange.depths[symbol].use(saved["depth"])
    _fill(desk.orders, state["orders"], Order)
    _fill(desk.algos, state["algos"], Algo)
    books.trades.clear()
    books.trades.extend(Trade(**row) for row in state["trades"])
    books.incomes.clear()
    books.incomes.extend(Income(**row) for row in state["incomes"])
    exchange.forced.clear()
    exchange.forced.extend(
        Forced(Order(**f["order"]), f["fee"], f["shortfall"], f["time"]) for f in state["forced"]
    )
    books.trade_id, books.income_id = state["ids"]
    books.income_sum, books.income_moved = state["sums"]
    _restore_account(exchange, state["account"])
    for symbol in state["changed_tiers"]:
        exchange.change_tiers(books.position(symbol).tiers)


def _fill(store: Store[Any], saved: Mapping[str, Any], kind: Any) -> None:
    store.clear()
    for row in saved["all"]:
        store.add(kind(**row))
    store.next_id = saved["next"]


def _restore_account(exchange: Exchange, saved: Mapping[str, Any]) -> None:
    books = exchange.books
    account = books.account
    account.deposits, account.wallet = saved["deposits"], saved["wallet"]
    account.costs = Costs(**saved["costs"])
    books.marks.update(saved["marks"])
    books.updated.update(saved["updated"])
    for key, row in saved["positions"].items():
        position = account.positions[key]
        for name in ("leverage", "isolated", "size", "entry", "margin"):
            setattr(position, name, row[name])
        position.costs = Costs(**row["costs"])
        position.tiers = _table(row["tiers"])
    books.check()


def _table(row: Mapping[str, Any]) -> TierTable:
    columns: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    columns["valid_from"] = date.fromisoformat(row["valid_from"])
    return TierTable(**columns)


def save(exchange: Exchange, path: Path) -> None:
    """Write the state to a file, whole or not at all."""
    put_text(path, json.dumps(to_state(exchange)))


def load(exchange: Exchange, path: Path) -> None:
    """Read a state that :func:`save` wrote."""
    try:
        state = json.loads(path.read_text())
    except OSError as fault:
        raise DataError(f"cannot be read: {fault.strerror}", source=str(path)) from fault
    except ValueError as fault:
        raise DataError(f"is no JSON: {fault}", source=str(path)) from fault
    restore(exchange, state, str(path))
