"""Every strategy trades: on the sample, on three real symbols at once, at three leverages."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from leverpack.errors import SettingError
from strategies import (
    STRATEGIES,
    AdaptiveLeverageStrategy,
    ConfidenceLadderStrategy,
    MarginMonitorStrategy,
    MicroStakeStrategy,
)
from strategies.margin_monitor import balance_ratio, margin_action
from strategies.units import UNITS
from tests.conftest import ROOT, needs_shared
from tests.strategies.realdata import real_sets
from tests.strategies.stage import flat, once, to

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

THREE = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MINUTES = ROOT / "data" / "made_BTCUSDT_1m_crash.csv.gz"
LEVERAGES = (2.0, 5.0, 20.0)


def run(name: str, feeds: list[CandleFeed], **params: Any) -> Any:
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(cash=10_000.0))
    for feed in feeds:
        cerebro.adddata(feed, name=feed.symbol)
    cerebro.addstrategy(STRATEGIES[name], **params)
    ran = cerebro.run()[0]
    assert cerebro.loop == "fast"
    return ran


def check_books(ran: Any) -> list[Any]:
    """What every run must leave behind: trades that add up, exits with a reason."""
    trades = ran.broker.ledger.trades
    done = sum(t.net for t in trades)
    open_net = ran.broker.getvalue() - 10_000.0 - done
    if not any(ran.getposition(d).size for d in ran.datas):
        assert open_net == pytest.approx(0.0, abs=1e-6)
    assert {t.reason for t in trades} <= {
        "stop", "target", "trail", "time", "margin", "emergency", "liquidation", "cut",
        "liquidation near",
    }  # fmt: skip
    return list(trades)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("leverage", LEVERAGES)
def test_on_the_sample(name: str, leverage: float) -> None:
    data = ROOT / "data"
    feed = CandleFeed(
        dataname=data / "made_BTCUSDT_1h_2025.csv", symbol="BTC/USDT:USDT",
        mark=data / "made_BTCUSDT_mark_1h_2025.csv",
        funding=data / "made_BTCUSDT_funding_2025.csv",
    )  # fmt: skip
    ran = run(name, [feed], leverage=leverage)
    trades = check_books(ran)
    assert len(trades) >= 3
    assert max(t.leverage for t in trades) <= max(leverage, 1.2 * leverage)


@needs_shared
@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("leverage", LEVERAGES)
def test_on_three_real_symbols_at_once(name: str, leverage: float) -> None:
    sets = [
        s for s in real_sets()
        if s.timeframe == "1h" and s.symbol in THREE and str(s).endswith("20260219")
    ]  # fmt: skip
    feeds = [
        CandleFeed(
            dataname=s.trade, mark=s.mark, funding=s.funding, symbol=s.symbol,
            fromdate=dt.datetime(2025, 1, 1), todate=dt.datetime(2025, 7, 1),
        )
        for s in sets
    ]  # fmt: skip
    assert len(feeds) == 3
    ran = run(name, feeds, leverage=leverage)
    trades = check_books(ran)
    assert {t.symbol for t in trades} == set(THREE)
    assert {t.side for t in trades} == {"long", "short"}


@needs_shared
def test_one_wallet_holds_several_positions_at_once() -> None:
    sets = [s for s in real_sets() if s.timeframe == "1h" and "20241231" in str(s)][:4]
    feeds = [
        CandleFeed(dataname=s.trade, mark=s.mark, funding=s.funding, symbol=s.symbol,
                   todate=dt.datetime(2025, 4, 1)) for s in sets
    ]  # fmt: skip
    ran = run("adaptive", feeds, max_positions=3)
    trades = check_books(ran)
    most = max(
        sum(t.entry_time <= x.entry_time < (t.exit_time or math.inf) for t in trades)
        for x in trades
    )
    assert most == 3


def test_every_parameter_has_a_unit() -> None:
    for kind in STRATEGIES.values():
        names = set(kind.params._getkeys())
        assert names <= set(UNITS), f"{kind.__name__}: {sorted(names - set(UNITS))}"


def test_defaults_are_the_guides() -> None:
    expected = {
        "adaptive": {"max_leverage": 5.0, "volatility_threshold": 0.02, "risk_per_trade": 0.015},
        "margin_monitor": {
            "initial_margin": 0.2, "maintenance_margin": 0.1, "margin_buffer": 0.05,
            "max_drawdown": 0.15,
        },
        "conservative": {
            "leverage": 2.0, "risk_per_trade": 0.01, "max_positions": 3, "stop_loss_pct": 0.03,
            "take_profit_pct": 0.06,
        },
    }  # fmt: skip
    for name, values in expected.items():
        defaults = dict(STRATEGIES[name].params._getitems())
        assert {k: defaults[k] for k in values} == values


# --- adaptive -------------------------------------------------------------------------------------


def sample_feed() -> CandleFeed:
    return CandleFeed(dataname=ROOT / "data" / "made_BTCUSDT_1h_2025.csv", symbol="BTC/USDT:USDT")


@pytest.mark.parametrize("models", ["guide", "volatility", "kelly", "drawdown", "guide,drawdown"])
def test_leverage_adapts_by_every_model(models: str) -> None:
    ran = run("adaptive", [sample_feed()], models=models, liquidation_stops=0.0)
    used = {round(t.leverage, 6) for t in ran.broker.ledger.trades}
    assert len(used) >= 3, "the leverage never changed"
    assert max(used) <= 5.0


def test_several_models_give_the_smallest() -> None:
    decided: list[tuple[float, ...]] = []

    class Asked(AdaptiveLeverageStrategy):
        def decide_leverage(self, data: Any, side: int) -> float:
            chosen = super().decide_leverage(data, side)
            each = [self.model_leverage(m, data, side) for m in ("guide", "volatility")]
            decided.append((chosen, *each))
            return chosen

    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(cash=10_000.0))
    cerebro.adddata(sample_feed())
    cerebro.addstrategy(Asked, models="guide,volatility", volatility_target=0.03)
    cerebro.run()
    assert len(decided) > 50
    assert all(chosen == min(*each, 5.0) for chosen, *each in decided)
    assert {each.index(min(each)) for _, *each in decided} == {0, 1}


def test_base_leverage_wins_over_leverage_and_an_unknown_model_is_named() -> None:
    plain = run("adaptive", [sample_feed()], leverage=1.5).broker.ledger.trades
    same = run("adaptive", [sample_feed()], base_leverage=1.5).broker.ledger.trades
    assert [t.leverage for t in plain] == [t.leverage for t in same]
    with pytest.raises(SettingError, match="did you mean kelly"):
        run("adaptive", [sample_feed()], models="kely")


# --- margin monitor -------------------------------------------------------------------------------


def test_the_guides_warning_comes_after_the_liquidation_and_ours_before() -> None:
    # 1 BTC at 50,000, equity 10,000, maintenance 10 %: the guide's level is equity / (20 % of
    # the notional), its warning at 0.10 + 0.05.
    def guide_level(price: float) -> float:
        return (10_000.0 + price - 50_000.0) / (0.2 * price)

    assert guide_level(41_237.0) == pytest.approx(0.15, abs=1e-4)
    assert balance_ratio(0.1, 44_444.44, 10_000.0 + 44_444.44 - 50_000.0) == pytest.approx(1.0)
    assert balance_ratio(0.1, 45_714.29, 10_000.0 + 45_714.29 - 50_000.0) == pytest.approx(0.8)


def test_an_emergency_by_distance_to_the_price_alone_would_fire_at_the_entry() -> None:
    # At 18x with 0.5 % maintenance the liquidation lies 5.05 % away; the guide leaves at 5 %.
    assert margin_action(0.09, 1.0, 0.8, 0.9, 0.5, 0.25) == 0
    assert margin_action(0.09, 0.5, 0.8, 0.9, 0.5, 0.25) == 1
    assert margin_action(0.09, 0.25, 0.8, 0.9, 0.5, 0.25) == 2
    assert margin_action(0.9, 1.0, 0.8, 0.9, 0.5, 0.25) == 2


def monitored(rows: list[Any], **params: Any) -> Any:
    from tests.strategies.stage import play

    # The averages of the rule that is not used have to warm up all the same.
    return play(
        [*flat(100, 40), *rows], once(40, 1), strategy=MarginMonitorStrategy,
        broker={"tiers": "builtin"},
        **{"leverage": 5.0, "stop_loss_pct": 0.5, "max_drawdown": 0.0, **params},
    )  # fmt: skip


def sizes(ran: Any) -> list[tuple[str, float]]:
    return [(t.reason, round(t.size, 6)) for t in ran.broker.ledger.trades]


def test_it_cuts_once_an_episode_and_again_in_the_next() -> None:
    # Liquidation lies near 81: half of the way is about 90.5.
    low = [to(100, 90), *flat(90, 5)]
    rows = [*flat(100, 3), *low, to(90, 99), *flat(99, 2), to(99, 90), *flat(90, 4)]
    ran = monitored(rows)
    full = 10_000.0 * 0.01 / 50.0
    assert len(ran.warnings) == 2
    assert all("cut by 30%" in w["text"] for w in ran.warnings)
    assert ran.getposition(ran.data).size == pytest.approx(full * 0.7 * 0.7)


def test_it_leaves_before_the_exchange_would() -> None:
    ran = monitored([*flat(100, 3), to(100, 85), *flat(85, 2), to(85, 70), *flat(70)])
    assert [t.reason for t in ran.broker.ledger.trades] == ["margin"]
    assert not ran.broker.liquidations
    blind = monitored(
        [*flat(100, 3), to(100, 85), *flat(85, 2), to(85, 70), *flat(70)],
        warn_share=0.0, exit_share=0.0, exit_ratio=1.0, warn_ratio=1.0,
    )  # fmt: skip
    assert len(blind.broker.liquidations) == 1


def test_initial_margin_bounds_the_leverage() -> None:
    ran = monitored(flat(100, 6), leverage=50.0, initial_margin=0.5)
    assert ran.broker.get_leverage(ran.data) == 2.0


# --- micro stake ----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["swing", "scalping", "momentum"])
def test_presets_stake_one_and_set_what_is_not_given(preset: str) -> None:
    feed = CandleFeed(dataname=MINUTES, symbol="BTC/USDT:USDT")
    ran = run("micro_stake", [feed], preset=preset)
    trades = check_books(ran)
    assert len(trades) > 20
    assert {round(t.margin, 1) for t in trades} == {1.0}
    assert max(t.leverage for t in trades) <= 100.0
    given = run("micro_stake", [feed], preset=preset, leverage=3.0, max_bars=2)
    assert {t.leverage for t in given.broker.ledger.trades} == {3.0}


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(SettingError, match="did you mean scalping"):
        run("micro_stake", [sample_feed()], preset="scalp")


def test_it_stops_for_the_day_at_its_limits() -> None:
    feed = CandleFeed(dataname=MINUTES, symbol="BTC/USDT:USDT")
    day = 86_400_000
    ran = run("micro_stake", [feed], preset="momentum", max_daily_trades=3)
    days = [t.entry_time // day for t in ran.broker.ledger.trades]
    assert max(days.count(d) for d in set(days)) == 3
    ran = run("micro_stake", [feed], preset="momentum", stake=500.0, max_daily_loss=50.0)
    assert any("max_daily_loss" in a["reason"] for a in ran.alarms)


# --- confidence ladder ----------------------------------------------------------------------------


def test_confidence_scales_the_size_and_the_ladder_leaves_in_parts() -> None:
    ran = run("confidence_ladder", [sample_feed()], min_volatility=0.0)
    trades = check_books(ran)
    at_risk = [t.size * t.entry_price * 0.03 / 10_000.0 for t in trades]
    assert max(at_risk) > 0.012
    assert min(at_risk) < 0.005
    assert {"stop", "trail"} <= {t.reason for t in trades}


def test_partial_targets_and_the_minimums_change_what_is_traded() -> None:
    def outcome(**params: Any) -> tuple[int, float]:
        ran = run("confidence_ladder", [sample_feed()], min_volatility=0.0, **params)
        return len(ran.broker.ledger.trades), ran.broker.getvalue()

    plain = outcome()
    assert outcome(partial_targets=False) != plain
    assert outcome(min_confidence=0.8)[0] < plain[0]
    still = run("confidence_ladder", [sample_feed()], min_volatility=0.5)
    assert not still.broker.ledger.trades


def test_the_classes_are_the_guides_names() -> None:
    assert {c.__name__ for c in STRATEGIES.values()} == {
        "ConservativeLeverageStrategy", "AdaptiveLeverageStrategy", "MarginMonitorStrategy",
        "MicroStakeStrategy", "ConfidenceLadderStrategy",
    }  # fmt: skip
    assert STRATEGIES["confidence_ladder"] is ConfidenceLadderStrategy
    assert STRATEGIES["micro_stake"] is MicroStakeStrategy
