"""What the API key may do, asked over the wire at the start of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from leverpack.config import Settings
from leverpack.errors import VenueRefused
from leverpack.live.bus import KEY_RIGHTS
from leverpack.live.store import CCXTStore
from tests.live.desk import trading
from tests.live.test_broker import UP
from tests.paper.stand import serving, session


def test_a_key_that_may_withdraw_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with serving(session(UP, key_withdraws=True)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "j.db") as desk:
            told = [e for e in desk.broker.journal.rows("events") if e["kind"] == KEY_RIGHTS]
            assert len(told) == 1 and "MAY WITHDRAW" in told[0]["text"]
            assert desk.broker.alerts == [told[0]["text"]]
            assert "MAY WITHDRAW" in caplog.text


def test_a_key_that_may_not_trade_is_refused(tmp_path: Path):
    with serving(session(UP, key_trades=False)) as stand:
        stand.step(10)
        with pytest.raises(VenueRefused, match="no right to trade futures"), \
                trading(stand, tmp_path / "j.db"):  # fmt: skip
            raise AssertionError("it began")


@pytest.mark.parametrize("exchange", ["binanceusdm", "bybit"])
def test_the_answers_of_the_venues(exchange: str):
    for withdraws, trades in ((True, True), (False, False)):
        held = session(UP, key_withdraws=withdraws, key_trades=trades, venue=exchange)
        with serving(held) as stand, CCXTStore(
            exchange, url=stand.url, settings=Settings(), env_file=None
        ) as store:
            call = store.rules.rights_call()
            assert call is not None
            rights = store.rules.rights(store.reads(call)[0])
        assert (rights.withdraw, rights.futures) == (withdraws, trades)


def test_a_venue_that_does_not_answer_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "leverpack.live")
    with serving(session(UP)) as stand:
        stand.step(10)
        stand.admin("POST", "faults", kind="error_before", path="/sapi/v1/account/apiRestrictions",
                    times=9)  # fmt: skip
        with trading(stand, tmp_path / "j.db") as desk:
            assert not desk.broker.alerts
        assert "what the API key may do is not known" in caplog.text
