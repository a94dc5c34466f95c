"""Which column of a table holds what: time, open, high, low, close, volume, funding rate."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Meaning -> names in order of preference, lower case with letters and digits only.
_TIME = (
    "opentime", "timeopen", "klineopentime", "opentimestamp", "candlebegintime", "starttime",
    "startat", "start", "fundingtime", "calctime", "fundingratetimestamp", "settletime",
    "unix", "unixtimestamp", "unixtime", "timestamp", "timestampms", "timems", "ts", "datetime",
    "dateutc", "timeutc", "date", "time", "gmttime", "localtime", "t", "index", "",
)  # fmt: skip
_NAMES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o", "openprice", "priceopen", "markpriceopen", "markopen"),
    "high": ("high", "h", "highprice", "pricehigh", "markpricehigh", "markhigh", "max"),
    "low": ("low", "l", "lowprice", "pricelow", "markpricelow", "marklow", "min"),
    "close": (
        "close", "c", "closeprice", "priceclose", "closelast", "markpriceclose", "markclose",
        "last", "price",
    ),
    "volume": ("volume", "tickvol", "tickvolume", "vol", "v", "basevolume", "amount"),
    "rate": (
        "rate", "fundingrate", "lastfundingrate", "funding", "realizedrate", "fundingratevalue",
        "currentfundingrate",
    ),
    "symbol": ("symbol", "pair", "ticker", "instrument", "market", "instid"),
}  # fmt: skip
_CLOSE_TIMES = ("closetime", "timeclose", "endtime", "closetimestamp")
_BASES = (
    "from", "base", "coin", "crypto", "btc", "eth", "sol", "xrp", "bnb", "doge", "ada", "ltc",
    "bch", "link", "dot", "avax", "trx", "matic", "xlm", "eos", "etc",
)  # fmt: skip
_PRICES = ("open", "high", "low", "close")

# Headerless files, by their number of columns: what stands where.
_HEADERLESS: dict[int, tuple[str, ...]] = {
    2: ("time", "rate"),
    5: ("time", *_PRICES),
    6: ("time", *_PRICES, "volume"),
    7: ("time", *_PRICES, "volume"),
    8: ("time", *_PRICES, "", "volume"),
}


@dataclass(slots=True)
class Roles:
    """Positions of the columns by meaning, and what was passed over."""

    at: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    close_time_only: bool = False

    def mapping(self, names: list[str]) -> dict[str, str]:
        """File column -> meaning."""
        return {names[i] or f"column {i + 1}": what for what, i in self.at.items()}


def plain(name: str) -> str:
    """A column name in lower case with letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def looks_like_header(names: list[str]) -> bool:
    """Whether a row names columns: two names or more are known, hardly any field is a number."""
    known = {n for group in _NAMES.values() for n in group} | set(_TIME) | set(_CLOSE_TIMES)
    hits = sum(plain(n) in known for n in names if n.strip())
    numbers = sum(is_number(n) for n in names)
    return hits >= 2 and numbers <= len(names) // 3


def is_number(text: str) -> bool:
    """Whether a field reads as a plain number."""
    return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) is not None


def _volume(keys: list[str], taken: set[int]) -> int | None:
    based = [f"{stem}{base}" for base in _BASES for stem in ("volume", "vol")]
    for name in (*based, *_NAMES["volume"]):
        if name in keys and keys.index(name) not in taken:
            return keys.index(name)
    for i, key in enumerate(keys):
        if i not in taken and re.fullmatch(r"vol(ume)?(usd[a-z]?|eur|to|quote)?", key):
            return i
    return None


def headed_roles(names: list[str], need: tuple[str, ...]) -> Roles:
    """Give meanings to named columns; ``need`` lists what the caller cannot do without."""
    keys = [plain(n) for n in names]
    roles = Roles()
    for name in _TIME:
        if name in keys:
            roles.at["time"] = keys.index(name)
            break
    if keys.count("date") == 1 and keys.count("time") == 1 and roles.at.get("time") == keys.index(
        "date"
    ):
        roles.at["clock"] = keys.index("time")  # date and time of day apart; see times.py
    wanted = ("rate",) if "rate" in need else _PRICES
    for what in (*wanted, "symbol"):
        for name in _NAMES[what]:
            if name in keys and keys.index(name) not in roles.at.values():
                roles.at[what] = keys.index(name)
                break
    if "rate" not in need:
        volume = _volume(keys, set(roles.at.values()))
        if volume is not None:
            roles.at["volume"] = volume
    roles.close_time_only = "time" not in roles.at and any(k in keys for k in _CLOSE_TIMES)
    return _finish(roles, names, need)


def headerless_roles(count: int, need: tuple[str, ...]) -> Roles:
    """Give meanings by position to a file without header."""
    if "rate" in need:
        order = _HEADERLESS[2] if count == 2 else ("time", "", "rate") if count == 3 else ()
    else:
        order = _HEADERLESS.get(count, _HEADERLESS[6] if count >= 9 else ())
    roles = Roles({what: i for i, what in enumerate(order) if what})
    return _finish(roles, [f"column {i + 1}" for i in range(count)], need)


def _finish(roles: Roles, names: list[str], need: tuple[str, ...]) -> Roles:
    used = set(roles.at.values())
    roles.ignored = [n or f"column {i + 1}" for i, n in enumerate(names) if i not in used]
    roles.missing = [what for what in need if what not in roles.at]
    return roles
