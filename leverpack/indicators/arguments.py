"""What an indicator was called with beyond its data and its parameters: nothing may be dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leverpack.errors import SettingError, refuse_unknown


def refuse_leftovers(owner: Any, unnamed: Sequence[Any], unknown: Mapping[str, Any]) -> None:
    """Raise SettingError for a parameter without its name, and for one that is not declared.

    Backtrader takes the lines from the front and the parameters by name, and hands the rest
    to ``__init__``.
    """
    if unnamed:
        names = ", ".join(owner.params._getkeys())
        raise SettingError(
            f"{type(owner).__name__} got {unnamed[0]!r} without a name; "
            f"give its parameters by name: {names}"
        )
    refuse_unknown(owner, unknown)
