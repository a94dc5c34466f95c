"""Scalar functions of whole modules, compiled with numba from their one and only source."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from leverpack.margin import brackets, funding, hedge, interest, liquidation, position, ratios


def scalar_modules() -> tuple[ModuleType, ...]:
    """The modules that hold nothing but scalar functions and number constants."""
    return (brackets, liquidation, hedge, funding, interest, ratios, position)


def scalar_functions(*more: ModuleType) -> dict[str, Callable[..., Any]]:
    """Every function of those modules, and of ``more``, by name; private ones too."""
    found: dict[str, Callable[..., Any]] = {}
    for module in (*scalar_modules(), *more):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__:
                continue
            if name in found:
                raise NameError(f"two scalar functions are called {name}")
            found[name] = function
    return found


def compile_scalars(*more: ModuleType) -> SimpleNamespace:
    """All scalar functions compiled by ``numba.njit``, as attributes under their own names.

    ``more`` are further modules of nothing but scalar functions, classes and constants, such as
    those of the risk room and of the strategies; they may call the margin room's. A compiled
    function can only call compiled ones, so each is rebuilt from its own code over one shared
    namespace in which every name leads to the compiled version. Compilation proper happens at
    the first call with given types. Imports numba (about a second).
    """
    import numba

    functions = scalar_functions(*more)
    namespace: dict[str, Any] = {"__builtins__": __builtins__, "__name__": __name__}
    for module in (*scalar_modules(), *more):
        for name, value in vars(module).items():
            if not isinstance(value, int | float) and name != "math":
                continue
            if namespace.setdefault(name, value) != value:
                raise NameError(f"two scalar constants are called {name}")
    compiled: dict[str, Any] = {}
    for name, function in functions.items():
        rebuilt = types.FunctionType(
            function.__code__, namespace, name, function.__defaults__, function.__closure__
        )
        rebuilt.__doc__ = function.__doc__
        compiled[name] = numba.njit(rebuilt)
    namespace.update(compiled)
    return SimpleNamespace(**compiled)
