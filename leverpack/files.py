"""Files that are there whole or not at all, and the folder of what may be made anew."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

CACHE_VARIABLE = "LEVERPACK_CACHE"
CACHE_OFF = "off"


def caching_is_off() -> bool:
    """Whether LEVERPACK_CACHE says that every file is to be read anew."""
    return os.environ.get(CACHE_VARIABLE, "").strip().lower() == CACHE_OFF


def cache_folder(kind: str) -> Path:
    """Where a kind of cache belongs ("candles", "compiled").

    A folder in the one that LEVERPACK_CACHE names, else in the user's own for caches.
    """
    given = os.environ.get(CACHE_VARIABLE, "").strip()
    if given and not caching_is_off():
        return Path(given).expanduser() / kind
    from platformdirs import user_cache_path

    return user_cache_path("leverpack", appauthor=False) / kind


def put_file(path: Path, write: Callable[[Path], None], *, durable: bool = False) -> Path:
    """Let ``write`` fill a file beside ``path``, then put it there in one step.

    When ``write`` fails, what was at ``path`` stays as it was and nothing is left beside it.
    ``durable``: on the disk before this returns, so that a power cut loses nothing.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        write(beside)
        if durable:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def put_text(path: Path, text: str, *, durable: bool = False) -> Path:
    """As ``put_file``, with ``text`` in UTF-8."""
    return put_file(path, lambda p: _write(p, text), durable=durable)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
