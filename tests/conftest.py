"""Where the tests find the published vectors and the real candles, or why they skip."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

# No test may see what another one, or the user, has left; those of the cache name their own.
os.environ["LEVERPACK_CACHE"] = "off"
ROOT = Path(__file__).resolve().parent.parent


def shared_dir() -> Path:
    """The folder of ``vectors/`` and ``data/``: beside the checkout, or LEVERPACK_SHARED."""
    return Path(os.environ.get("LEVERPACK_SHARED", ROOT.parent / "shared"))


needs_shared = pytest.mark.skipif(
    not (shared_dir() / "vectors").is_dir(),
    reason=f"published vectors and real candles are not at {shared_dir()} (set LEVERPACK_SHARED)",
)


def vectors(name: str) -> Any:
    """The parsed JSON of one vector file, or an empty list where the folder is away."""
    path = shared_dir() / "vectors" / name
    return json.loads(path.read_text()) if path.is_file() else []


def real(name: str) -> Path:
    """The path of one file of real perpetual candles."""
    return shared_dir() / "data" / "perp" / name


def heed_ctrl_c() -> None:
    """For a child process: SIGINT ends it, also where this one was started with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
