"""API keys out of the environment or ``.env``, held so that nothing can print them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from leverpack.configsources import read_dotenv

# What ccxt calls each credential, and how its variable ends.
CREDENTIALS = {
    "apiKey": "API_KEY", "secret": "API_SECRET", "password": "API_PASSWORD", "uid": "API_UID",
    "walletAddress": "WALLET_ADDRESS", "privateKey": "PRIVATE_KEY",
}  # fmt: skip
# What signs a request, and the name of the account's stream, by which anybody could read it.
_SIGNATURE = re.compile(
    r"((?:signature|listenKey)[\"']?\s*[=:]\s*[\"']?|/ws/(?=\w{32}))[^&\s\"',}]+", re.IGNORECASE
)
_SHORTEST = 6  # shorter texts stand in innocent sentences too


class Keys:
    """The credentials of one exchange account, by ccxt's names; shows names, never values."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {k: v for k, v in values.items() if v}

    def __repr__(self) -> str:
        return f"Keys({', '.join(sorted(self._values)) or 'none'})"

    def __bool__(self) -> bool:
        return bool(self._values)

    def __reduce__(self) -> str:
        raise TypeError("keys are not to be copied into files")

    def for_client(self) -> dict[str, str]:
        """The values, for the client's constructor and nothing else."""
        return dict(self._values)

    def hidden(self, text: str) -> str:
        """``text`` without any credential, signature or listen key in it."""
        for value in self._values.values():
            if len(value) >= _SHORTEST:
                text = text.replace(value, "***")
        return _SIGNATURE.sub(r"\1***", text)


def find_keys(
    exchange: str, given: Mapping[str, str] | None = None, *,
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env"),
) -> Keys:  # fmt: skip
    """The credentials of ``exchange``: given ones, else ``BINANCEUSDM_API_KEY`` and the like.

    Variables are named after the exchange, else ``LEVERPACK_API_KEY``, ``LEVERPACK_API_SECRET``
    and so on; the environment beats ``env_file``. Raises DataError for a file that is no .env.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, str] = {}
    if env_file is not None and env_file.is_file():
        found = read_dotenv(env_file, environ, {})[1]
    variables = {**found, **environ}
    values = {}
    for name, ending in CREDENTIALS.items():
        for prefix in (exchange.upper(), "LEVERPACK"):
            value = variables.get(f"{prefix}_{ending}", "").strip()
            if value:
                values[name] = value
                break
    return Keys({**values, **{k: str(v) for k, v in (given or {}).items() if k in CREDENTIALS}})
