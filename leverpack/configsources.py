"""What TOML, .env and environment say about settings: every value with its file and line.

Names and origins are all that leaves this module about variables that are no settings: the value
of an API key, secret, password or token is kept only to hide it where a message would show it.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from leverpack.errors import DataError, nearest

PREFIXES = ("QT_", "LEVERPACK_", "MAX_")
# Known names with such a prefix that are read elsewhere: the file of settings, the test data, ...
NO_SETTINGS = frozenset(
    {"LEVERPACK_CONFIG", "LEVERPACK_SHARED", "LEVERPACK_CACHE", "LEVERPACK_URL",
     "LEVERPACK_ALERTS"}
)
ENVIRONMENT, COMMAND_LINE = "environment", "command line"

# The addresses of LEVERPACK_ALERTS hold tokens.
_SECRET = re.compile(
    "KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|CREDENTIAL|PRIVATE|MNEMONIC|LEVERPACK_ALERTS"
)
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Given:
    """One value as a source gives it: ``name`` as written there, ``place`` for messages."""

    field: str
    name: str
    value: Any
    place: str  # "leverpack.toml:3", ".env:2", "environment" or "command line"

    @property
    def origin(self) -> str:
        """Where the value comes from, in a word or two: the place, and which variable."""
        return f"{self.place} {self.name}" if self.place == ENVIRONMENT else self.place

    @property
    def where(self) -> str:
        """Place and name as written, and the setting's own name where it is another."""
        if self.place == COMMAND_LINE:
            return self.name
        name = self.name if self.name == self.field else f"{self.name} ({self.field})"
        return f"{self.place}: {name}"


@dataclass(slots=True)
class Layer:
    """All that one source says: values, sentences of warning, and secrets never to be shown."""

    given: list[Given] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set, repr=False)


def looks_secret(name: str) -> bool:
    """Whether a variable of this name holds something that must not be shown."""
    return _SECRET.search(name.upper()) is not None


def shown(value: Any, secrets: Iterable[str], form: Callable[[Any], str] = repr) -> str:
    """A wrong value as a message may show it: not long, and never what a secret holds."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    plain = str(value).strip()
    if any(plain == s or (len(s) >= 6 and s in plain) for s in secrets):
        return "this value (hidden: a secret holds it too)"
    if isinstance(value, bool):
        return plain.lower()
    text = form(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_text(path: Path) -> str:
    """The file's text; DataError when it is missing, a folder, unreadable or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("there is no such file; check the path", source=str(path)) from None
    except IsADirectoryError:
        raise DataError("this is a folder; name a file", source=str(path)) from None
    except OSError as fault:
        raise DataError(f"cannot be read: {fault.strerror}", source=str(path)) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text; save it as UTF-8", source=str(path)) from None


def read_toml(path: Path, names: Mapping[str, tuple[str, ...]]) -> Layer:
    """Settings in a flat TOML file; ``names`` maps each setting to its environment names.

    Raises DataError with file and line when the file is not TOML.
    """
    text = read_text(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise _toml_error(path, text, str(fault)) from None
    layer = Layer()
    lines = _key_lines(text)
    wanted = {alias: name for name, aliases in names.items() for alias in (name, *aliases)}
    for name, value in content.items():
        place = f"{path}:{lines[name]}" if name in lines else str(path)
        if name in names:
            layer.given.append(Given(name, name, value, place))
            continue
        if looks_secret(name):
            layer.secrets.update(_texts(value))
            why = "; keep secrets out of this file, in the environment"
        elif isinstance(value, dict):
            why = "; settings stand at the top of the file, not in a table"
        else:
            why = _hint(name, wanted)
        layer.warnings.append(f"{place}: {name} is not a setting and is ignored{why}")
    return layer


def read_environ(environ: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> Layer:
    """Settings among environment variables; upper and lower case are the same name."""
    # Sorted: the order of the environment is an accident, and messages should not depend on it.
    return _variables([(k, v, ENVIRONMENT) for k, v in sorted(environ.items())], names)


def read_dotenv(
    path: Path, environ: Mapping[str, str], names: Mapping[str, tuple[str, ...]]
) -> tuple[Layer, dict[str, str]]:
    """Settings in a ``.env`` file, and all its variables by name.

    Quotes, comments, ``export`` and ``${NAME}`` are python-dotenv's; ``${NAME}`` means the file's
    own earlier line, else ``environ``. Raises DataError with the line that cannot be understood:
    skipped, it might have been a limit.
    """
    entries: list[tuple[str, str, str]] = []
    found: dict[str, str] = {}
    for name, value, line in _dotenv_lines(path):
        found[name] = _filled_in(value, {**environ, **found})
        entries.append((name, found[name], f"{path}:{line}"))
    return _variables(entries, names), found


def _dotenv_lines(path: Path) -> Iterator[tuple[str, str, int]]:
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(read_text(path))):
        # python-dotenv counts from the blank lines before an entry.
        raw = binding.original.string
        line = binding.original.line + raw[: len(raw) - len(raw.lstrip())].count("\n")
        if binding.error:
            raise DataError("write NAME=value, with quotes in pairs", source=str(path), line=line)
        if binding.key is not None:
            yield binding.key, binding.value or "", line


def _filled_in(value: str, variables: Mapping[str, str]) -> str:
    from dotenv.variables import parse_variables

    return "".join(part.resolve(variables) for part in parse_variables(value))


def _variables(
    entries: Iterable[tuple[str, str, str]], names: Mapping[str, tuple[str, ...]]
) -> Layer:
    layer = Layer()
    fields = {alias: name for name, aliases in names.items() for alias in aliases}
    # MAX_STAKE is written after the setting's own name: its variable is another.
    wanted = {name.upper(): aliases[0] for name, aliases in names.items()}
    wanted |= {alias: alias for alias in fields}
    for name, value, place in entries:
        upper = name.upper()
        if upper in fields:
            if value.strip():
                layer.given.append(Given(fields[upper], name, value, place))
            else:
                layer.warnings.append(f"{place}: {name} is empty and counts as not set")
        elif looks_secret(name):
            layer.secrets.update(_texts(value))
            if upper.startswith(PREFIXES) and upper not in NO_SETTINGS:
                layer.warnings.append(f"{place}: {name} is not a setting and is not read here")
        elif upper not in NO_SETTINGS and (upper.startswith(PREFIXES) or _misspelt(upper, wanted)):
            why = _hint(upper, wanted)
            layer.warnings.append(f"{place}: {name} is not a setting and is ignored{why}")
    return layer


def _misspelt(name: str, known: Iterable[str]) -> bool:
    """Whether a name of no known prefix can hardly mean anything but a setting (LEVERGE)."""
    return bool(get_close_matches(name, known, 1, 0.9))


def _hint(name: str, wanted: Mapping[str, str]) -> str:
    """``; did you mean X?`` where ``wanted`` maps all that people write to what they should."""
    for written in (name, name.lower(), name.upper()):
        if written in wanted:
            return f"; did you mean {wanted[written]}?"
    hint = nearest(name, wanted)
    for written, right in wanted.items():
        hint = f"did you mean {right}?" if hint == f"did you mean {written}?" else hint
    return f"; {hint}" if hint else ""


def _texts(value: Any) -> Iterator[str]:
    """Every text and number inside a value, as text."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif str(value).strip():
        yield str(value).strip()


def _toml_error(path: Path, text: str, message: str) -> DataError:
    place = _TOML_PLACE.search(message)
    what = f"is not TOML: {_TOML_PLACE.sub('', message)}"
    if place is None:
        return DataError(what, source=str(path))
    if place[1] is None:
        last = text.rstrip().count("\n") + 1
        return DataError(f"{what} at the end of the file", source=str(path), line=last)
    return DataError(f"{what} (column {place[2]})", source=str(path), line=int(place[1]))


def _key_lines(text: str) -> dict[str, int]:
    """The line of each top-level key; tomllib tells none.

    Statements are found by parsing: lines are gathered until they are TOML on their own, so that
    what stands inside a text of several lines is not taken for a key.
    """
    lines: dict[str, int] = {}
    start, chunk = 1, ""
    in_table = False
    for number, row in enumerate(text.split("\n"), 1):
        if not chunk:
            start = number
        chunk += row + "\n"
        try:
            keys = tomllib.loads(chunk)
        except tomllib.TOMLDecodeError:
            continue
        header = chunk.lstrip().startswith("[")
        in_table = in_table or header
        if header or not in_table:
            for key in keys:
                lines.setdefault(key, start)
        chunk = ""
    return lines
