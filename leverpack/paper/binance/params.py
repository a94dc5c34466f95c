"""Request parameters: read from query and body, and refused as Binance refuses them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import parse_qsl

from leverpack.paper.instrument import Instrument
from leverpack.paper.refusal import Refusal

MAX_PARAMS = 100
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]+", re.ASCII)
MAX_CLIENT_ID = 36


class Params:
    """The parameters of one request; a missing or malformed one raises the venue's refusal."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    @classmethod
    def parse(cls, *parts: str) -> Params:
        """From a query string and a form body; of a name given twice the last one holds."""
        pairs: list[tuple[str, str]] = []
        for part in parts:
            if part:
                try:
                    pairs += parse_qsl(part, keep_blank_values=True, max_num_fields=MAX_PARAMS)
                except ValueError:
                    raise Refusal(-1101) from None
        if len(pairs) > MAX_PARAMS:
            raise Refusal(-1101)
        return cls(dict(pairs))

    def __contains__(self, name: str) -> bool:
        return bool(self.values.get(name))

    def text(self, name: str, default: str | None = None) -> str:
        """A parameter as text; -1102 where it is missing without a default."""
        value = self.values.get(name)
        if value:
            return value
        if default is None:
            raise Refusal(-1102, name=name)
        return default

    def one_of(
        self, name: str, allowed: Iterable[str], code: int, default: str | None = None
    ) -> str:
        """A word out of a list, in upper case; ``code`` is the refusal of any other."""
        word = self.text(name, default).upper()
        if word not in allowed:
            raise Refusal(code, name=name)
        return word

    def whole(self, name: str, default: int | None = None, *, least: int | None = None,
              most: int | None = None) -> int:  # fmt: skip
        """A whole number; outside of least..most it is not valid (-1130)."""
        if not self.values.get(name) and default is not None:
            return default
        text = self.text(name)
        if not _WHOLE.fullmatch(text):
            raise Refusal(-1100, name=name)
        value = int(text)
        if (least is not None and value < least) or (most is not None and value > most):
            raise Refusal(-1130, name=name)
        return value

    def maybe_whole(self, name: str) -> int | None:
        """A whole number, or None where it was not sent."""
        return self.whole(name) if self.values.get(name) else None

    def decimal(self, name: str) -> Decimal:
        """A plain decimal number."""
        text = self.text(name)
        if not _NUMBER.fullmatch(text):
            raise Refusal(-1100, name=name)
        return Decimal(text)

    def flag(self, name: str) -> bool:
        """True or false; false where it was not sent."""
        return self.one_of(name, ("TRUE", "FALSE"), -1130, "false") == "TRUE"

    def client_id(self, name: str, otherwise: str) -> str:
        """An order id of the client's own, or ``otherwise`` where none was sent."""
        text = self.values.get(name) or otherwise
        if len(text) > MAX_CLIENT_ID:
            raise Refusal(-4015)
        if not _CLIENT_ID.fullmatch(text):
            raise Refusal(-1100, name=name)
        return text

    def quantity(self, name: str, instrument: Instrument, *, market: bool = False) -> int:
        """A quantity in steps of the contract: on its grid, within its limits."""
        value = self.decimal(name)
        if value <= 0:
            raise Refusal(-4003)
        if value > (instrument.market_max_qty if market else instrument.max_qty):
            raise Refusal(-4005)
        if value < instrument.step:
            raise Refusal(-4004 if _digits(value) <= instrument.qty_digits else -1111)
        units = value / instrument.step
        if units != int(units):
            raise Refusal(-1111)
        return int(units)

    def price(self, name: str, instrument: Instrument) -> float:
        """A price on the contract's grid."""
        value = self.decimal(name)
        if value <= 0:
            raise Refusal(-4013)
        if value % instrument.tick:
            raise Refusal(-4014 if _digits(value) <= instrument.price_digits else -1111)
        return float(value)


def _digits(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
