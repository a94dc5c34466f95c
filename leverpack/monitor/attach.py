"""What watches over one run, attached to its store: metrics on a port, alerts to channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import start_http_server

from leverpack.errors import SettingError
from leverpack.live.store import CCXTStore
from leverpack.monitor.alerts import Alerts
from leverpack.monitor.channels import find_channels
from leverpack.monitor.metrics import LiveMetrics

LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Attached:
    """The metrics of a run, the address that they are read from ("": none), and its alerts."""

    metrics: LiveMetrics | None
    address: str
    alerts: Alerts | None


@contextmanager
def attached(
    store: CCXTStore, *, metrics_port: int | None = None, metrics_host: str = LOOPBACK,
    env_file: Path | None = Path(".env"), say: Callable[[str], None] = lambda text: None,
) -> Iterator[Attached]:  # fmt: skip
    """Watch over all that runs with ``store`` for as long as the block lasts.

    ``metrics_port`` serves Prometheus (0: a free port; None: no metrics) in a thread of its own;
    alerts go to the channels that LEVERPACK_ALERTS names, if it does. Raises SettingError for a
    port that cannot be had and for a channel that cannot be.
    """
    channels = find_channels(env_file=env_file)
    with ExitStack() as stack:
        metrics, address = None, ""
        if metrics_port is not None:
            metrics = LiveMetrics(store.bus, store.exchange)
            stack.callback(metrics.close)
            address = stack.enter_context(_served(metrics, metrics_port, metrics_host))
            say(f"metrics at {address}")
        alerts = None
        if channels:
            where = "real money" if store.trades_real_money else "no real money"
            title = f"leverpack {store.exchange} ({where})"
            alerts = Alerts(store.bus, channels, title=title, hide=store.hidden)
            stack.callback(alerts.close)
            say(f"alerts to {', '.join(c.name for c in channels)}")
        yield Attached(metrics, address, alerts)


@contextmanager
def _served(metrics: LiveMetrics, port: int, host: str) -> Iterator[str]:
    if not 0 <= port <= 65_535:
        raise SettingError(f"--metrics must be a port from 0 to 65535, not {port}")
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as fault:
        raise SettingError(
            f"--metrics {port}: {host} has no such port free ({fault.strerror}); name another"
        ) from None
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(2.0)
