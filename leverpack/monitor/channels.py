"""Where alerts go: notification addresses from the environment, held so that nothing prints them.

The addresses are apprise's, which knows about a hundred services by them.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from leverpack.configsources import read_dotenv
from leverpack.errors import SettingError

VARIABLE = "LEVERPACK_ALERTS"
_PARTS = re.compile(r"[/:@?&=,;+#]+")
_SHORTEST = 6  # shorter texts stand in innocent sentences too


class Channel:
    """One notification address; ``name`` and ``repr`` show its number and service alone."""

    def __init__(self, number: int, url: str) -> None:
        import apprise

        # They log addresses, with the tokens in them.
        for name in ("apprise", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        scheme = url.partition("://")[0]
        self._apprise = apprise.Apprise()
        if "://" not in url or not self._apprise.add(url):
            known = re.fullmatch(r"[a-z0-9.+-]{1,20}", scheme.lower()) if "://" in url else None
            raise SettingError(
                f"{VARIABLE}: address {number}"
                f"{f' ({scheme.lower()})' if known else ''} is not understood; write it as "
                "apprise's list of services says, such as tgram://TOKEN/CHAT"
            )
        plugin: Any = self._apprise[0]
        self.name = f"channel {number} ({plugin.service_name})"
        host = str(getattr(plugin, "host", "") or "")
        parts = {unquote(p) for p in _PARTS.split(url)} | set(_PARTS.split(url))
        self._secrets = [url, *sorted(
            (p for p in parts if len(p) >= _SHORTEST and p not in (host, scheme)),
            key=len, reverse=True,
        )]  # fmt: skip

    def __repr__(self) -> str:
        return f"Channel({self.name})"

    def __reduce__(self) -> str:
        raise TypeError("notification addresses are not to be copied into files")

    def hidden(self, text: str) -> str:
        """``text`` without this address or a token of it."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def send(self, title: str, body: str) -> bool:
        """Send one message; whether the service took it. Returns within seconds."""
        try:
            return bool(self._apprise.notify(body=body, title=title))
        except Exception:  # a plugin's own fault must not end the sender
            return False


def find_channels(
    *, environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> list[Channel]:
    """The channels that LEVERPACK_ALERTS names, apart by spaces or lines; the environment first.

    Raises SettingError, by number and never with the address, for one that is no address.
    """
    environ = os.environ if environ is None else environ
    given = environ.get(VARIABLE, "").strip()
    if not given and env_file is not None and env_file.is_file():
        given = read_dotenv(env_file, environ, {})[1].get(VARIABLE, "")
    return [Channel(number, url) for number, url in enumerate(given.split(), 1)]
