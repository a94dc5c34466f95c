"""Points exchange clients at a paper exchange: what ``leverpack.wire`` does, under this name."""

from __future__ import annotations

from leverpack.wire import point_at

__all__ = ["point_at"]
