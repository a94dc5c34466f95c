"""What the API key may do, asked at the start: a key for trading must not be able to withdraw."""

from __future__ import annotations

import logging
from typing import Any

from leverpack.errors import VenueError, VenueRefused
from leverpack.live.bus import KEY_RIGHTS

logger = logging.getLogger("leverpack.live")


def check_rights(broker: Any) -> None:
    """Warn loudly of a key that may withdraw; VenueRefused for a wrong one, or without futures.

    Where the venue does not tell, as in Binance's sandbox, the log says that it did not.
    """
    store = broker.store
    call = store.rules.rights_call()
    tells = call is not None and (store.url is not None or not store.sandbox)
    if not tells:
        logger.info("%s does not say here what the API key may do", store.exchange)
        return
    try:
        rights = store.rules.rights(store.reads(call)[0])
    except VenueError as fault:
        if getattr(fault, "kind", "") == "AuthenticationError":
            raise
        logger.warning("what the API key may do is not known: %s", fault)
        return
    if not rights.futures:
        raise VenueRefused(
            f"{store.exchange}: this API key has no right to trade futures; allow that at the "
            "venue, and nothing else"
        )
    if rights.withdraw:
        broker.alert(
            f"{store.exchange}: THIS API KEY MAY WITHDRAW: whoever gets hold of it can take the "
            "money out of the account; make a key that may only trade, and bind it to an address",
            KEY_RIGHTS,
        )
