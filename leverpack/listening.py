"""An aiohttp application on one address: how the status page and the paper exchange listen."""

from __future__ import annotations

import logging

from aiohttp import web

from leverpack.errors import SettingError

_quiet = logging.getLogger(f"{__name__}.garbage")  # what is no HTTP is answered, not reported
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class Listener:
    """``host`` and ``port`` of one application; port 0 is a free one, known once it listens."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def open(self, app: web.Application) -> None:
        """Listen; SettingError where the port is taken."""
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, logger=_quiet
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as fault:
            await runner.cleanup()
            raise SettingError(
                f"cannot listen on {self.host}:{self.port}: {fault.strerror}; take another --port"
            ) from fault
        self._runner, self.port = runner, runner.addresses[0][1]

    async def close(self) -> None:
        """Close all connections and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
