"""What each strategy parameter is counted in, for people who read a list of them."""

from __future__ import annotations

_PRICE, _EQUITY, _CANDLES, _X = "fraction of price", "fraction of equity", "candles", "x"
_QUOTE, _NOTIONAL, _DAY = "quote", "quote notional", "fraction a day"

UNITS: dict[str, str] = {
    "leverage": _X, "max_leverage": _X, "base_leverage": _X, "max_portfolio_leverage": _X,
    "auto_set_leverage": "yes or no", "break_even": "yes or no", "partial_targets": "yes or no",
    "liquidation_stops": "stop distances", "reward": "stop distances", "atr_stop": "ATRs",
    "sizing": "risk, guide, stake, equity", "sides": "both, long, short",
    "preset": "swing, scalping, momentum", "models": "guide, volatility, kelly, drawdown",
    "risk_per_trade": _EQUITY, "max_risk_per_trade": _EQUITY, "equity_fraction": _EQUITY,
    "max_drawdown": _EQUITY, "drawdown_limit": _EQUITY, "margin_reserve": "fraction of free margin",
    "stake": _QUOTE, "max_stake": _QUOTE, "max_daily_loss": _QUOTE,
    "stop_loss_pct": _PRICE, "take_profit_pct": _PRICE, "trail_pct": _PRICE,
    "targets": "(fraction of price, share)",
    "max_bars": _CANDLES, "fast_period": _CANDLES, "slow_period": _CANDLES,
    "rsi_period": _CANDLES, "average_period": _CANDLES, "adx_period": _CANDLES,
    "atr_period": _CANDLES, "kelly_period": _CANDLES, "volatility_period": _CANDLES,
    "rsi_oversold": "RSI", "rsi_overbought": "RSI", "rsi_low": "RSI", "rsi_high": "RSI",
    "adx_min": "ADX",
    "entry_rule": "function or class", "confidence": "function or class",
    "leverage_model": "function or class", "limit_store": "StateStore",
    "emergency": "triggers by name",
    "min_confidence": "0 to 1", "kelly_fraction": "of Kelly",
    "volatility_threshold": _DAY, "volatility_target": _DAY, "min_volatility": _DAY,
    "max_positions": "positions", "max_daily_trades": "trades",
    "max_notional_per_trade": _NOTIONAL, "max_notional_per_symbol": _NOTIONAL,
    "max_gross_exposure": _NOTIONAL, "min_notional": _NOTIONAL,
    "initial_margin": "fraction of notional", "maintenance_margin": "fraction of notional",
    "margin_buffer": "fraction of notional",
    "warn_ratio": "margin ratio", "exit_ratio": "margin ratio",
    "warn_share": "of the first distance", "exit_share": "of the first distance",
    "cut_fraction": "fraction of position",
}  # fmt: skip
