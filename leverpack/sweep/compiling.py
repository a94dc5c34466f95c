"""The kernel and the rules, compiled once and kept in the user's cache directory.

Compiled code is looked up by a hash of every source that went into it, of numba, of Python and of
the processor (numba's own), so that an edited rule never meets the code of the old one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from leverpack.files import cache_folder, put_text
from leverpack.sweep import kernel, records

_LOCK = threading.RLock()
_KEPT_VERSIONS = 20  # of compiled code; older ones are removed


class RuleRefused(Exception):
    """A rule that numba cannot compile; the message says why in its words."""


def code_folder(key: str) -> Path:
    """Where compiled code of that key is kept."""
    return cache_folder("compiled") / key


def fingerprint(*texts: str) -> str:
    """A hash of these texts, of numba and of Python."""
    import numba

    found = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for text in texts:
        found.update(text.encode())
    return found.hexdigest()[:20]


@cache
def engine() -> Callable[..., int]:
    """The compiled :func:`leverpack.sweep.kernel.run_set`; it lets go of the GIL."""
    reached: dict[Any, Any] = {}
    plain = recompiled(kernel.run_set, reached).py_func
    names = sorted({f.__module__ for f in reached} | {records.__name__})
    return kept_compiled(plain, fingerprint(*(_source(sys.modules[n]) for n in names)))


def _source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


def recompiled(function: Any, reached: dict[Any, Any]) -> Any:
    """``function`` for numba, and every plain function that it calls, from their own code.

    A compiled function can only call compiled ones, so each gets its own code over a namespace in
    which those names lead to the compiled ones; ``reached`` collects them. Raises RuleRefused.
    """
    import numba

    if function in reached:
        return reached[function]
    if function.__closure__:
        raise RuleRefused(f"{function.__name__} uses variables of the function it was made in")
    namespace: dict[str, Any] = {"__name__": function.__module__, "__builtins__": __builtins__}
    copy = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
    njit: Any = numba.njit
    made = reached[function] = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(copy)
    for name, value in globals_read(function).items():
        plain = isinstance(value, FunctionType)
        namespace[name] = recompiled(value, reached) if plain else value
    return made


def globals_read(function: Any) -> dict[str, Any]:
    """The names of its module that a function reads, those of its inner code too."""
    codes: list[CodeType] = [function.__code__]
    names: set[str] = set()
    for code in codes:
        names.update(code.co_names)
        codes.extend(c for c in code.co_consts if isinstance(c, CodeType))
    return {n: function.__globals__[n] for n in sorted(names) if n in function.__globals__}


def kept_compiled(function: Callable[..., Any], key: str) -> Callable[..., Any]:
    """``function`` as numba compiles it, kept on disk under ``key``; in memory where that fails."""
    import numba

    with _LOCK, _numba_folder(code_folder(key)) as can_keep:
        compiled: Callable[..., Any] = numba.njit(nogil=True, cache=can_keep)(function)
        return compiled


@contextmanager
def _numba_folder(folder: Path) -> Iterator[bool]:
    """Numba asks for its folder when a function is made; yields whether it can be written."""
    from numba.core import config

    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _tidy(folder.parent)
    except OSError:
        yield False
        return
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder)
    try:
        yield True
    finally:
        settings.CACHE_DIR = before


def write_beside(path: Path, text: str) -> Path | None:
    """Write a small file whole or not at all; None where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():  # its text is part of the folder's name
            put_text(path, text)
    except OSError:
        return None
    return path


def _tidy(folder: Path) -> None:
    """Remove code that nobody has asked for lately, a day old at least."""
    versions = sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime)
    for old in versions[:-_KEPT_VERSIONS]:
        if time.time() - old.stat().st_mtime > 86_400.0:
            shutil.rmtree(old, ignore_errors=True)
