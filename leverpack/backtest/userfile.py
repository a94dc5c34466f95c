"""A strategy of the user's own, loaded from the Python file that holds it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import backtrader as bt

from leverpack.errors import SettingError, nearest


def load_strategy(text: str) -> type:
    """The strategy class in ``FILE.py``, or in ``FILE.py:ClassName`` where it holds several.

    Raises SettingError when there is no such file or class, and with file and line when the file
    cannot be run.
    """
    name, _, wanted = text.partition(".py:")
    path = Path(text if not wanted else f"{name}.py")
    if not path.is_file():
        raise SettingError(f"--strategy {text}: there is no such file")
    module_name = f"_leverpack_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise SettingError(f"--strategy {text}: this is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # Backtrader looks the module of a class up by name
    try:
        spec.loader.exec_module(module)
    except Exception as fault:
        raise SettingError(
            f"--strategy {path}:{_line(fault, path)}: {type(fault).__name__}: {fault}"
        ) from fault
    found = {
        kind.__name__: kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, bt.Strategy)
        and kind.__module__ == module_name
    }
    if wanted:
        if wanted not in found:
            hint = nearest(wanted, found, f"it has {', '.join(found) or 'none'}")
            raise SettingError(f"--strategy {path}: it has no strategy {wanted}; {hint}")
        return found[wanted]
    if len(found) != 1:
        has = f"{', '.join(found)}: write {path}:NAME" if found else "no strategy class"
        raise SettingError(f"--strategy {path}: the file holds {has}")
    return next(iter(found.values()))


def _line(fault: Exception, path: Path) -> int:
    """The last line of the user's file that had a part in the fault."""
    if isinstance(fault, SyntaxError) and fault.lineno:
        return fault.lineno
    lines = [
        frame.lineno or 0
        for frame in traceback.extract_tb(fault.__traceback__)
        if Path(frame.filename) == path or Path(frame.filename).name == path.name
    ]
    return lines[-1] if lines else 1
