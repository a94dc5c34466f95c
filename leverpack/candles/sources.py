"""What a user names as data, as files: one file, a folder, a pattern, or standard input."""

from __future__ import annotations

import atexit
import errno
import glob
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leverpack.candles.packing import MAX_UNPACKED
from leverpack.errors import DataError

STDIN = "-"
_STDIN_NAME = "standard input"
ENDINGS = (
    ".csv", ".txt", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".feather", ".arrow",
    ".gz", ".zip", ".bz2", ".xz",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """One file to read, and what people call it."""

    path: Path
    name: str

    def stamp(self) -> tuple[int, int, int]:
        """What changes when the file is written to: size, time of change, inode."""
        seen = self.path.stat()
        return seen.st_size, seen.st_mtime_ns, seen.st_ino

    def refuse_change(self, before: tuple[int, int, int]) -> None:
        """Raise DataError when the file is no longer what it was when ``before`` was taken."""
        if self.stamp() != before:
            raise DataError(
                "the file changed while it was read; read it again when it is complete",
                source=self.name,
            )


def files_of(source: str | Path | Sequence[str | Path]) -> list[File]:
    """The files behind a path, a folder, a pattern such as ``btc/*1h*.zip`` or ``-``, by name.

    Several of them are taken in the order given. A folder stands for the files right in it whose
    endings are those of candle files; hidden ones are passed over. Raises DataError when there
    is nothing that can be read.
    """
    if isinstance(source, (list, tuple)):
        found_in = [file for one in source for file in files_of(one)]
        if not found_in:
            raise DataError("no file is named")
        return found_in
    name = str(source)
    if name == STDIN:
        return [File(_stdin_copy(), _STDIN_NAME)]
    found = _stat(name)
    if found is None and glob.has_magic(name):
        there = sorted(p for p in glob.glob(name, recursive=True) if not os.path.isdir(p))
        # A wide pattern catches checksums and notes too.
        paths = [p for p in there if p.lower().endswith(ENDINGS)] or there
        if not paths:
            raise DataError("no file matches this pattern", source=name)
    elif found is None:
        raise DataError("there is no such file; check the path", source=name)
    elif stat.S_ISDIR(found.st_mode):
        paths = _in_folder(name)
    else:
        paths = [name]
    for path in paths:
        _refuse_special(path)
    return [File(Path(path), path) for path in paths]


def _in_folder(name: str) -> list[str]:
    try:
        inside = sorted(os.listdir(name))
    except OSError as fault:
        raise DataError(f"the folder cannot be read ({fault.strerror})", source=name) from fault
    paths = [
        os.path.join(name, one) for one in inside
        if one.lower().endswith(ENDINGS) and not one.startswith(".")
    ]  # fmt: skip
    paths = [path for path in paths if not os.path.isdir(path)]
    if not paths:
        raise DataError(
            f"the folder holds no candle files ({', '.join(ENDINGS)})", source=name
        )
    return paths


def _stat(name: str) -> os.stat_result | None:
    """The file's state, None where there is none; what cannot be looked at raises DataError."""
    try:
        return os.stat(name)
    except FileNotFoundError:
        if os.path.islink(name):
            raise DataError("this is a link to a file that is not there", source=name) from None
        return None
    except ValueError as fault:
        raise DataError(f"this is no path ({fault})", source=name.replace("\0", "?")) from fault
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise DataError("the link leads back to itself", source=name) from fault
        if fault.errno in (errno.ENAMETOOLONG, errno.ENOTDIR):
            return None
        raise DataError(f"the file cannot be read ({fault.strerror})", source=name) from fault


def _refuse_special(name: str) -> None:
    found = _stat(name)
    if found is None:
        raise DataError("there is no such file; check the path", source=name)
    if not stat.S_ISREG(found.st_mode):
        # Reading a pipe that nobody writes to would wait for ever.
        raise DataError(
            "this is a pipe or a device, not a file; give its data by standard input, as -",
            source=name,
        )
    if found.st_size == 0:
        raise DataError("the file is empty", source=name)


_copies: list[tuple[Any, Path]] = []  # what was read from which standard input


def _stdin_copy() -> Path:
    """Standard input as a file: it is read once, while a table is looked at more than once."""
    stream = sys.stdin
    for seen, path in _copies:
        if seen is stream:
            return path
    if stream is None or stream.isatty():
        raise DataError(
            "nothing comes in; write leverpack ... - < FILE", source=_STDIN_NAME
        )
    handle, name = tempfile.mkstemp(prefix="leverpack-")
    atexit.register(lambda: Path(name).unlink(missing_ok=True))
    total = 0
    with os.fdopen(handle, "wb") as out:
        while block := stream.buffer.read(1 << 20):
            total += len(block)
            if total > MAX_UNPACKED:
                raise DataError(
                    f"more than {MAX_UNPACKED:,} bytes came in; split them", source=_STDIN_NAME
                )
            out.write(block)
    if not total:
        raise DataError("the input is empty", source=_STDIN_NAME)
    _copies.append((stream, Path(name)))
    return Path(name)
