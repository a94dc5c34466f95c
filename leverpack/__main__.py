"""``python -m leverpack`` is the ``leverpack`` command."""

from __future__ import annotations

from leverpack.cli import run

if __name__ == "__main__":
    run()
