"""Reads what a venue has for many symbols in as few requests as it allows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from leverpack.audit.records import ANY, CROSS, ISOLATED, Account, Found, Leg
from leverpack.errors import LeverpackError, SettingError
from leverpack.live.store import CCXTStore
from leverpack.live.venues import Call
from leverpack.margin.tiers import TierBook

AT_ONCE = 8  # requests under way; ccxt spaces them out by the venue's limits
# Binance's positions would load the tiers a second time, for a figure that nobody reads here.
STORE_OPTIONS: dict[str, dict[str, Any]] = {"binanceusdm": {"leverageBrackets": {}}}
# The margin mode of a unified account, one for all symbols.
ACCOUNT_MARGIN_MODE = frozenset({"bybit"})
# The tiers of all symbols come in about so many pages; for fewer symbols one by one is quicker.
_TIER_PAGES = {"bybit": 40}

POSITION_MODE, MARGIN_MODE = "set_position_mode", "set_margin_mode"  # ccxt's methods
_LEGS = "legs"  # how the names of the answers with positions begin

Progress = Callable[[int, int], None]


def in_parallel(
    work: Callable[[str], Any], symbols: Iterable[str], progress: Progress
) -> dict[str, Any]:
    """``work(symbol)`` for each, several at once; ``progress(done, total)`` after each."""
    symbols = list(symbols)
    done: dict[str, Any] = {}
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leverpack-audit")
    try:
        waiting = {pool.submit(work, symbol): symbol for symbol in symbols}
        for future in as_completed(waiting):
            done[waiting[future]] = future.result()
            progress(len(done), len(symbols))
    finally:  # Ctrl-C: what has not begun never begins
        pool.shutdown(wait=False, cancel_futures=True)
    return done


def require_set_leverage(store: CCXTStore) -> None:
    """SettingError for an exchange that has no leverage setting; needs no connection."""
    if store.rules.per_order:
        raise SettingError(
            f"{store.exchange}: leverage travels with each order there, so that none is set that "
            "could be audited; its futures are an exchange of their own"
        )


class Reader:
    """Reads one account through an open store, which it leaves open.

    ``margin_mode`` is the decided one, which some venues want named in the question. Raises
    SettingError for an exchange whose leverage ccxt cannot read, VenueError when the account
    cannot be read at all; what fails for one symbol is that symbol's ``problem``.
    """

    def __init__(self, store: CCXTStore, margin_mode: str) -> None:
        self.store = store
        self.margin_mode = margin_mode
        has = store.has
        readable = has("fetchLeverages") or has("fetchLeverage") or has("fetchPositions")
        if not (readable and store.contracts()):
            raise SettingError(
                f"{store.exchange}: ccxt lists no futures there whose leverage it can read; "
                "give --exchange binanceusdm, bybit or another exchange's futures"
            )

    def read(
        self, symbols: list[str] | None, *, only_open: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> tuple[Account, list[str]]:  # fmt: skip
        """The account, and the symbols looked at: ``symbols``, else all, else those held."""
        wanted = symbols if symbols is not None else self.store.contracts()
        calls = self._account_calls(0 if symbols is None and only_open else len(wanted))
        answers = dict(zip(calls, self.store.reads(*calls.values()), strict=True))
        found = _with_legs(self.store, _legs_in(answers))
        if symbols is None:
            wanted = sorted(found) if only_open else sorted({*wanted, *found})
        equity = _equity(self.store, answers["balance"], wanted, found)
        for symbol in wanted:
            found.setdefault(symbol, Found(symbol))
        self._take_settings(found.values(), answers)
        tiers = answers.get("tiers", {})
        for symbol in wanted:
            if symbol in tiers:
                _take_tiers(found[symbol], tiers[symbol])
        self._one_by_one([found[s] for s in wanted], "tiers" not in answers, progress)
        return Account(found, equity), wanted

    def again(
        self, account: Account, symbols: list[str], changed: Container[str],
        progress: Progress = lambda done, total: None,
    ) -> None:  # fmt: skip
        """Read anew into ``account`` what setting ``changed`` (ccxt's methods) has touched.

        The leverage of ``symbols``; the modes of the account and its positions where they may
        have moved with it.
        """
        anew = [account.found[symbol] for symbol in symbols]
        calls = self._settings_calls()
        for name, method in (("position mode", POSITION_MODE), ("margin mode", MARGIN_MODE)):
            if method not in changed:
                calls.pop(name, None)
        if any(found.legs for found in anew):
            calls.update(self._legs_calls())
        answers = dict(zip(calls, self.store.reads(*calls.values()), strict=True))
        if any(found.legs for found in anew):
            held = _with_legs(self.store, _legs_in(answers))
            for symbol, found in account.found.items():
                found.legs = held[symbol].legs if symbol in held else []
        for found in anew:
            found.leverage, found.problem = None, ""
        self._take_settings(account.found.values(), answers)
        self._one_by_one(anew, False, progress)

    # -- for the whole account -------------------------------------------------------------------

    def _settings_calls(self) -> dict[str, Call]:
        store, calls = self.store, dict[str, Call]()
        if store.has("fetchLeverages"):
            calls["leverages"] = ("fetch_leverages", (), {})
        if store.has("fetchPositionMode"):
            calls["position mode"] = ("fetch_position_mode", (), {})
        if store.exchange in ACCOUNT_MARGIN_MODE:
            calls["margin mode"] = ("fetch_margin_mode", (store.contracts()[0],), {})
        return calls

    def _account_calls(self, count: int) -> dict[str, Call]:
        store = self.store
        calls: dict[str, Call] = {"balance": ("fetch_balance", (), {}), **self._settings_calls()}
        calls.update(self._legs_calls())
        if count >= _TIER_PAGES.get(store.exchange, 0) and store.has("fetchLeverageTiers"):
            calls["tiers"] = ("fetch_leverage_tiers", (), {})
        return calls

    def _legs_calls(self) -> dict[str, Call]:
        store = self.store
        if store.exchange != "bybit":
            return {_LEGS: ("fetch_positions", (), {})}
        calls: dict[str, Call] = {}
        for coin in sorted({str(store.market(s)["settle"]) for s in store.contracts()}):
            params = {"settleCoin": coin, "paginate": True}
            calls[f"{_LEGS} {coin}"] = ("fetch_positions", (None, params), {})
        return calls

    def _take_settings(self, some: Iterable[Found], answers: dict[str, Any]) -> None:
        leverages = answers.get("leverages")
        hedged = (answers.get("position mode") or {}).get("hedged")
        mode = (answers.get("margin mode") or {}).get("marginMode")
        for one in some:
            if leverages is not None:
                if one.symbol in leverages:
                    _take_leverage(one, leverages[one.symbol])
                else:
                    one.problem = f"{self.store.exchange} lists no leverage for it"
            if hedged is not None:
                one.hedged = bool(hedged)
            if mode is not None:
                one.margin_mode = str(mode)
            if one.margin_mode == CROSS:  # some venues name the margin it locks all the same
                one.legs = [replace(leg, margin=None) for leg in one.legs]

    # -- symbol by symbol ------------------------------------------------------------------------

    def _one_by_one(self, all_found: list[Found], tiers: bool, progress: Progress) -> None:
        """Ask for what the answers for the whole account did not hold."""
        by_symbol = {
            f.symbol: f for f in all_found
            if (f.leverage is None and not f.problem) or (tiers and f.tiers is None)
        }  # fmt: skip

        def ask(symbol: str) -> None:
            one = by_symbol[symbol]
            try:
                if one.leverage is None and not one.problem:
                    self._ask_leverage(one)
            except LeverpackError as fault:
                one.problem = str(fault)
            try:
                if tiers and one.tiers is None:
                    self._ask_tiers(one)
            except LeverpackError as fault:
                one.tiers_problem = str(fault)

        in_parallel(ask, by_symbol, progress)

    def _ask_leverage(self, one: Found) -> None:
        store = self.store
        if store.exchange == "bybit":  # its fetch_leverage cuts fractions off
            _take_rows(one, store.read("fetch_positions", [one.symbol]))
        elif store.has("fetchLeverage"):
            mode = ISOLATED if self.margin_mode == ANY else self.margin_mode
            params = {"marginMode": mode} if store.exchange == "okx" else {}
            _take_leverage(one, store.read("fetch_leverage", one.symbol, params))
        else:
            one.problem = f"{store.exchange}: ccxt reads the leverage of open positions only"

    def _ask_tiers(self, one: Found) -> None:
        store = self.store
        if store.has("fetchMarketLeverageTiers"):
            _take_tiers(one, store.read("fetch_market_leverage_tiers", one.symbol))


def _legs_in(answers: dict[str, Any]) -> Iterable[Any]:
    return (row for name, rows in answers.items() if name.startswith(_LEGS) for row in rows)


def _take_leverage(one: Found, answer: Any) -> None:
    sides = [answer.get(n) for n in ("longLeverage", "shortLeverage")]
    known = [float(x) for x in sides if x is not None]
    one.leverage = max(known, default=None)
    one.margin_mode = answer.get("marginMode") or one.margin_mode
    if not known:
        one.problem = "the venue names no leverage"


def _take_tiers(one: Found, rows: Any) -> None:
    """By its own: a table that contradicts itself is the problem of one symbol."""
    try:
        one.tiers = TierBook.from_ccxt({one.symbol: rows}).at(one.symbol)
    except LeverpackError as fault:
        one.tiers_problem = str(fault)


def _take_rows(one: Found, rows: Any) -> None:
    """Leverage and modes out of ccxt's positions of one symbol, flat ones included."""
    known = [float(r["leverage"]) for r in rows if r.get("leverage")]
    one.leverage = max(known, default=one.leverage)
    for row in rows:
        one.margin_mode = row.get("marginMode") or one.margin_mode
        if row.get("hedged") is not None:
            one.hedged = bool(row["hedged"])


def _with_legs(store: CCXTStore, rows: Iterable[Any]) -> dict[str, Found]:
    """What is held, by symbol."""
    found: dict[str, Found] = {}
    for row in rows:
        size = float(row.get("contracts") or 0.0) * float(row.get("contractSize") or 1.0)
        if not size:
            continue
        one = found.setdefault(str(row["symbol"]), Found(str(row["symbol"])))
        _take_rows(one, [row])
        one.legs.append(_leg(store, row, size if row.get("side") != "short" else -size))
    return found


def _leg(store: CCXTStore, row: Any, size: float) -> Leg:
    mark = float(row.get("markPrice") or 0.0) or float(row.get("notional") or 0.0) / abs(size)
    liquidation = row.get("liquidationPrice")
    return Leg(
        size, mark, float(row.get("unrealizedPnl") or 0.0), store.rules.position_margin(row),
        float(liquidation) if liquidation else None,
    )  # fmt: skip


def _equity(
    store: CCXTStore, balance: Any, symbols: list[str], found: dict[str, Found]
) -> float | None:
    """Equity in the currencies that the symbols settle in, each counted as one of the other."""
    coins = {s: _settled_in(store, s) for s in {*symbols, *found}}
    known = []
    for coin in set(coins.values()) & set(balance):
        profit = sum(x.unrealised for s, f in found.items() if coins[s] == coin for x in f.legs)
        known.append(store.rules.money(balance, coin, profit).equity)
    return sum(known) if known else None


def _settled_in(store: CCXTStore, symbol: str) -> str:
    try:
        return str(store.market(symbol)["settle"])
    except SettingError:  # a position in a contract that the venue lists no more
        return ""
