"""Which column of a table holds what: time, open, high, low, close, volume, funding rate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# Meaning -> names in order of preference, lower case with letters and digits only.
_TIME = (
    "opentime", "timeopen", "klineopentime", "opentimestamp", "candlebegintime", "starttime",
    "startat", "start", "fundingtime", "calctime", "fundingratetimestamp", "settletime",
    "unix", "unixtimestamp", "unixtime", "timestamp", "timestampms", "timems", "ts", "datetime",
    "dateutc", "timeutc", "date", "time", "gmttime", "localtime", "t", "index", "unnamed0", "",
)  # fmt: skip
_PRICES = ("open", "high", "low", "close")
_NAMES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o", "openprice", "priceopen"),
    "high": ("high", "h", "highprice", "pricehigh", "max"),
    "low": ("low", "l", "lowprice", "pricelow", "min"),
    "close": ("close", "c", "closeprice", "priceclose", "closelast", "last", "price"),
    "volume": ("volume", "tickvol", "tickvolume", "vol", "v", "basevolume", "amount"),
    "rate": (
        # Kraken's "fundingRate" is in quote currency per contract, its relative one a fraction.
        "relativefundingrate", "rate", "fundingrate", "lastfundingrate", "funding",
        "realizedrate", "fundingratevalue", "currentfundingrate", "r",
    ),
    "symbol": ("symbol", "pair", "ticker", "instrument", "market", "instid"),
}  # fmt: skip
_MARK_NAMES = {what: (f"markprice{what}", f"mark{what}", f"{what}mark") for what in _PRICES}
_CLOSE_TIMES = ("closetime", "timeclose", "endtime", "closetimestamp")
_BASES = (
    "from", "base", "coin", "crypto", "btc", "eth", "sol", "xrp", "bnb", "doge", "ada", "ltc",
    "bch", "link", "dot", "avax", "trx", "matic", "xlm", "eos", "etc",
)  # fmt: skip
_QUOTES = re.compile(r"(usd[a-z]?|eur|gbp|jpy|krw|try|to|quote|quoteasset)")
# Volume of something else than the candle's trades, or of a part of them.
_PARTS = re.compile(r"(buy|sell|taker|ma\d*|sma\d*|avg|average|change|delta|profile)")
_SPLIT_NAME = re.compile(r"^(?P<symbol>.+?)[\s:_.|/-]+(?P<what>[A-Za-z]+)$")
# What stands before a price name without being a symbol.
_NO_SYMBOLS = {
    "mark", "markprice", "index", "indexprice", "last", "adj", "adjusted", "bid", "ask", "mid",
    "price", "taker", "takerbuy", "quote", "base", "prev", "previous",
}  # fmt: skip

# Headerless files, by their number of columns: what stands where.
_HEADERLESS: dict[int, tuple[str, ...]] = {
    2: ("time", "rate"),
    5: ("time", *_PRICES),
    6: ("time", *_PRICES, "volume"),
    7: ("time", *_PRICES, "volume"),
    8: ("time", *_PRICES, "", "volume"),
}
# KuCoin and Bitfinex send the close second, Coinbase low and high first.
_OTHER_ORDERS = (("open", "close", "high", "low"), ("low", "high", "open", "close"))


@dataclass(frozen=True, slots=True)
class Want:
    """What a caller needs of a table."""

    need: tuple[str, ...]
    mark: bool = False  # mark prices: their own columns come first, and there is no volume
    symbol: str | None = None  # which one, where a table holds several


@dataclass(slots=True)
class Roles:
    """Positions of the columns by meaning, and what was passed over."""

    at: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    closing: bool = False  # the only time is the closing time
    volume_unit: str = "unknown"  # "base", "quote", "contracts": as the header's words say
    symbol: str = ""  # the one picked out of a table of several side by side
    fault: str = ""  # why the columns cannot be used, as a sentence
    order: str = ""  # how the prices stand, where only their values told

    def mapping(self, names: list[str]) -> dict[str, str]:
        """File column -> meaning."""
        return {names[i] or f"column {i + 1}": what for what, i in self.at.items()}


def plain(name: str) -> str:
    """A column name in lower case with letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def looks_like_header(names: list[str]) -> bool:
    """Whether a row names columns: two names or more are known, hardly any field is a number."""
    numbers = sum(is_number(n) for n in names)
    return known_names(names) >= 2 and numbers <= len(names) // 3


def known_names(names: list[str]) -> int:
    """How many fields of a row are names that columns have."""
    known = {n for group in (*_NAMES.values(), *_MARK_NAMES.values()) for n in group}
    known |= {*_TIME, *_CLOSE_TIMES}
    return sum(plain(n) in known for n in names if plain(n))


def is_number(text: str) -> bool:
    """Whether a field reads as a plain number."""
    return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) is not None


def has_prices(names: list[str]) -> bool:
    """Whether columns of candles are among these names."""
    return {"open", "close"} <= {plain(n) for n in names}


def _volume(keys: list[str], taken: set[int]) -> tuple[int | None, str]:
    """Position and unit of the volume: base units before a plain "volume" before quote units."""
    free = [i for i in range(len(keys)) if i not in taken]
    units = {i: _volume_unit(keys[i]) for i in free}
    sure = [i for i in free if re.sub(r"^vol(ume)?", "", keys[i]) in _BASES and units[i] == "base"]
    named = [keys.index(n) for n in _NAMES["volume"] if n in keys and keys.index(n) not in taken]
    kinds = [[i for i in free if units[i] == unit] for unit in ("base", "contracts", "quote")]
    for group in (sure, named, *kinds):
        if group:
            return group[0], units[group[0]] or "unknown"
    return None, "unknown"


def _volume_unit(key: str) -> str:
    """What a volume column counts, by its name; "" for a column that is no volume."""
    if "contracts" in key or key == "volcontract":
        return "contracts"
    if key in ("basevolume", "volumebase", "basevol"):
        return "base"
    if key in ("quotevolume", "quoteassetvolume", "turnover", "quotevol"):
        return "quote"
    if key in _NAMES["volume"]:
        return "unknown"
    found = re.fullmatch(r"vol(?:ume)?([a-z]{2,6})", key)
    if found is None or _PARTS.search(found[1]):
        return ""
    return "quote" if _QUOTES.fullmatch(found[1]) else "base"


def headed_roles(names: list[str], want: Want) -> Roles:
    """Give meanings to named columns; ``want.need`` lists what the caller cannot do without."""
    keys = [plain(n) for n in names]
    roles = Roles()
    _find_time(roles, keys)
    marks = want.mark and any(n in keys for what in _PRICES for n in _MARK_NAMES[what])
    table = _MARK_NAMES if marks else _NAMES
    wanted = ("rate",) if "rate" in want.need else _PRICES
    for what in (*wanted, "symbol"):
        for name in table.get(what, _NAMES[what]):
            if name in keys and keys.index(name) not in roles.at.values():
                roles.at[what] = keys.index(name)
                break
    if "rate" not in want.need and not marks:
        volume, roles.volume_unit = _volume(keys, set(roles.at.values()))
        if volume is not None:
            roles.at["volume"] = volume
    lacking = any(what in want.need and what not in roles.at for what in wanted)
    if lacking and "rate" not in want.need:
        _pick_symbol(roles, names, want)
    for what, i in roles.at.items():
        if keys[i] and keys.count(keys[i]) > 1:
            roles.fault = f"the column {names[i]!r} ({what}) stands more than once in the header"
    return _finish(roles, names, want.need)


def _find_time(roles: Roles, keys: list[str]) -> None:
    for name in _TIME:
        if name in keys:
            roles.at["time"] = keys.index(name)
            break
    if keys.count("date") == 1 and keys.count("time") == 1 and roles.at.get("time") == keys.index(
        "date"
    ):
        roles.at["clock"] = keys.index("time")  # date and time of day apart
    if "time" in roles.at and keys[roles.at["time"]]:
        return
    for name in _CLOSE_TIMES:
        if name in keys:
            roles.at["time"] = keys.index(name)
            roles.closing = True
            return


def symbol_columns(names: list[str]) -> dict[str, dict[str, int]]:
    """Symbol -> meaning -> position, for columns named like ``BTC:open`` or ``close_ETHUSDT``."""
    known = {n: what for what in (*_PRICES, "volume") for n in (what, f"{what}price")}
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(names):
        split = _SPLIT_NAME.match(name.strip("()'\" ").replace("', '", ":"))
        if split is None:
            continue
        symbol, what = split["symbol"], split["what"]
        if plain(what) not in known:  # open_BTC
            symbol, _, what = name.partition("_")
            symbol, what = what, symbol
        if plain(what) in known and plain(symbol) and plain(symbol) not in _NO_SYMBOLS:
            found.setdefault(symbol, {}).setdefault(known[plain(what)], i)
    return {s: at for s, at in found.items() if {"open", "close"} <= set(at)}


def _pick_symbol(roles: Roles, names: list[str], want: Want) -> None:
    side_by_side = symbol_columns(names)
    if not side_by_side:
        return
    symbol, roles.fault = pick(list(side_by_side), want.symbol)
    if symbol:
        roles.symbol = symbol
        for what in (*_PRICES, "volume"):
            roles.at.pop(what, None)
        roles.at |= side_by_side[symbol]


def pick(there: Sequence[str], wanted: str | None) -> tuple[str, str]:
    """The symbol meant out of those that a table holds, or "" and a sentence on what to do."""
    if wanted:
        same = [s for s in there if plain(s) == plain(wanted.split(":")[0])]
        base = [s for s in there if plain(s) == plain(re.split(r"[/:-]", wanted)[0])]
        for group in (same, base):
            if len(group) == 1:
                return group[0], ""
    if len(there) == 1:
        return there[0], ""
    listed = ", ".join(sorted(there)[:12]) + (" ..." if len(there) > 12 else "")
    none = f", and {wanted} is not among them" if wanted else ""
    return "", f"the table holds several symbols ({listed}){none}; choose one by symbol"


def headerless_roles(count: int, want: Want, sample: Sequence[Sequence[Any]] = ()) -> Roles:
    """Give meanings by position to a table without header; ``sample`` are some of its rows."""
    other = ""
    if "rate" in want.need:
        order = _HEADERLESS[2] if count == 2 else ("time", "", "rate") if count == 3 else ()
    else:
        order = _HEADERLESS.get(count, _HEADERLESS[6] if count >= 9 else ())
        if len(order) >= 5 and (prices := _order_of(sample)) != _PRICES:
            order = ("time", *prices, *order[5:])
            other = ", ".join(prices)
    roles = Roles({what: i for i, what in enumerate(order) if what}, order=other)
    return _finish(roles, [f"column {i + 1}" for i in range(count)], want.need)


def _order_of(sample: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """How the four prices stand: as usual, unless only another order makes all rows candles."""
    rows = []
    for row in sample:
        try:
            rows.append([float(v) for v in row[1:5]])
        except (TypeError, ValueError):
            continue
    if not rows or all(_is_candle(dict(zip(_PRICES, r, strict=False))) for r in rows):
        return _PRICES
    fitting = [
        order for order in _OTHER_ORDERS
        if all(_is_candle(dict(zip(order, r, strict=False))) for r in rows)
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 and len(rows) >= 3 else _PRICES


def _is_candle(v: dict[str, float]) -> bool:
    if len(v) < 4:
        return False
    return v["low"] <= min(v["open"], v["close"]) and max(v["open"], v["close"]) <= v["high"]


def _finish(roles: Roles, names: list[str], need: tuple[str, ...]) -> Roles:
    used = set(roles.at.values())
    roles.ignored = [n or f"column {i + 1}" for i, n in enumerate(names) if i not in used]
    roles.missing = [what for what in need if what not in roles.at]
    return roles
