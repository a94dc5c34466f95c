"""The kill switch as a file beside the journal: written by anybody, obeyed by the run."""

from __future__ import annotations

from pathlib import Path

from leverpack.errors import SettingError
from leverpack.files import put_text

NO_ENTRIES, CANCEL_ENTRIES, CLOSE_ALL = 1, 2, 3
LEVELS = {NO_ENTRIES: "no new entries", CANCEL_ENTRIES: "entries cancelled",
          CLOSE_ALL: "everything closed"}  # fmt: skip


def kill_file_of(journal: Path) -> Path:
    """The file that halts the run of a journal."""
    return journal.with_name(f"{journal.name}.stop")


def ask_to_halt(journal: Path, level: int) -> Path:
    """Write the kill file of a journal's run, on the disk before this returns; its path.

    A higher level that stands there already is kept. SettingError for a level that there is not,
    a journal that there is not, and a file that cannot be written.
    """
    if level not in LEVELS:
        raise SettingError(f"a halt has level 1, 2 or 3, not {level}")
    if not journal.is_file():
        raise SettingError(f"--journal {journal}: there is no such journal; check the path")
    path = kill_file_of(journal)
    try:
        return put_text(path, f"{max(level, level_in(path))}\n", durable=True)
    except OSError as fault:
        raise SettingError(f"{path}: cannot be written ({fault.strerror or fault})") from None


def level_in(path: Path) -> int:
    """The level that a kill file asks for, 0 where there is none; 3 where it says anything else."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError):
        return CLOSE_ALL  # it is there: somebody wants a stop
    return int(text) if text in ("1", "2", "3") else CLOSE_ALL
