"""Why an order was refused, as one of a few words that a metric may carry as a label."""

from __future__ import annotations

CUT = "cut_by_limit"
OTHER = "other"
# By the kind that comes with the refusal: leverpack's own, and ccxt's names of errors.
_KINDS = {
    "leverage": "leverage", "lost": "lost", "away": "venue_away",
    "InsufficientFunds": "funds", "InvalidOrder": "invalid_order",
    "OrderNotFillable": "invalid_order", "OrderImmediatelyFillable": "invalid_order",
    "DuplicateOrderId": "invalid_order", "BadRequest": "invalid_order", "BadSymbol":
    "invalid_order", "ArgumentsRequired": "invalid_order", "NotSupported": "invalid_order",
    "OperationRejected": "invalid_order", "AuthenticationError": "permission",
    "PermissionDenied": "permission", "AccountNotEnabled": "permission",
    "AccountSuspended": "permission", "ExchangeError": "venue", "MarketClosed": "venue",
}  # fmt: skip
# By how the sentence begins, where it comes without a kind.
_BEGINNINGS = {
    "halted:": "halted", "stopped:": "halted", "warm-up": "warm_up",
    "the venue is away": "venue_away", "the candle stream": "stream_silent",
    "notional": "too_small", "too small": "too_small", "size ": "too_small",
    "leverage:": "leverage", "max_": "limit", "min_": "limit",
    "margin_buffer": "limit",
}  # fmt: skip
REASONS = tuple(sorted({*_KINDS.values(), *_BEGINNINGS.values(), CUT, OTHER}))


def reason_of(reason: str, kind: str = "") -> str:
    """One of REASONS for a refusal's sentence and kind.

    >>> reason_of("max_positions: 3 open, 3 allowed"), reason_of("no", "InsufficientFunds")
    ('limit', 'funds')
    """
    if kind in _KINDS:
        return _KINDS[kind]
    if "the size is cut" in reason:
        return CUT
    words = reason.lower()
    return next((name for start, name in _BEGINNINGS.items() if words.startswith(start)), OTHER)
