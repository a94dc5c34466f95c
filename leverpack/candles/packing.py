"""Files opened as bytes, plain or packed, with a bound on what a packed one may expand to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from leverpack.errors import DataError

MAX_UNPACKED = 2 << 30  # bytes; some thirty million minute candles as CSV
# Candles pack to a third or a sixth, never to a hundredth; a small file may be as empty as it is.
MAX_RATIO = 100
_RATIO_FROM = 16 << 20

_GZIP, _BZIP2, _XZ, _ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK"
MAGICS = (_GZIP, _BZIP2, _XZ, _ZIP)  # what packed files begin with
_UNPACK_FAULTS = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError)


class _Bounded(io.RawIOBase):
    """A packed stream that stops with a DataError when it expands without end or is damaged."""

    def __init__(self, inner: Any, packed: int, name: str) -> None:
        super().__init__()
        self._inner = inner
        self._packed = packed
        self._name = name
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(len(buffer))
        except _UNPACK_FAULTS as fault:
            raise DataError(
                f"the file cannot be unpacked, it is cut off or damaged ({fault})",
                source=self._name,
            ) from fault
        self._done += len(data)
        refuse_bomb(self._done, self._packed, self._name)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


def refuse_bomb(unpacked: int, packed: int, name: str) -> None:
    """Raise DataError when so many bytes out of so few packed ones cannot be candles."""
    if unpacked > MAX_UNPACKED:
        raise DataError(
            f"the file expands to more than {MAX_UNPACKED:,} bytes; unpack it and split it",
            source=name,
        )
    if unpacked > _RATIO_FROM and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"the file expands to more than {MAX_RATIO} times its size, as no candles do; "
            "if it is sound, unpack it and name what was in it",
            source=name,
        )


def open_bytes(path: Path, name: str | None = None) -> BinaryIO:
    """The file's bytes, unpacked when it is gzip, bzip2, xz or a zip with one file in it.

    ``name`` is what errors call the file. Raises DataError for an archive that does not hold
    exactly one readable file, and while reading for one that is damaged or expands too far.
    """
    name = name or str(path)
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(_GZIP):
        inner: Any = gzip.open(path, "rb")  # noqa: SIM115 - closed by _Bounded
    elif magic.startswith(_BZIP2):
        inner = bz2.open(path, "rb")  # noqa: SIM115 - closed by _Bounded
    elif magic.startswith(_XZ):
        inner = lzma.open(path, "rb")  # noqa: SIM115 - closed by _Bounded
    elif magic.startswith(_ZIP):
        inner = _open_zip(path, name)
    else:
        return path.open("rb")
    packed = path.stat().st_size
    return cast(BinaryIO, io.BufferedReader(_Bounded(inner, packed, name), 1 << 20))


def _open_zip(path: Path, name: str) -> Any:
    try:
        archive = zipfile.ZipFile(path)
        members = [
            m for m in archive.infolist()
            if not m.is_dir() and not m.filename.startswith(("__MACOSX/", "."))
        ]  # fmt: skip
        if not members:
            raise DataError("the archive holds no file", source=name)
        if len(members) > 1:
            shown = ", ".join(m.filename for m in members[:3])
            raise DataError(
                f"the archive holds {len(members)} files ({shown} ...); unpack it and name one",
                source=name,
            )
        if members[0].flag_bits & 1:
            raise DataError("the archive is encrypted; unpack it and name the file", source=name)
        return archive.open(members[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as fault:
        raise DataError(f"the archive cannot be unpacked ({fault})", source=name) from fault
