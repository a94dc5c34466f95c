"""Ways in which files get hurt, on disks, by spreadsheets and by scripts."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fuzz.corpus import Base, table_bytes

TOKENS = (
    "", " ", "nan", "NaN", "inf", "-inf", "NULL", "None", "null", "-", "n/a", "0", "-0", "0.0",
    "-1", "1e999", "1e-400", "1e5", ".5", "5.", "+5", "1_000", "0x10", "\uff11\uff12", "1,234.5",
    "1.234,5", "1,234", "1 234", "12%", "5K", "1.5M", "$5", '"', '""', "'", "true", "1 2",
    "\u00a05",
    "\ufeff7", "99999999999999999999999", "9" * 400, "1735689600", "1735689600000",
    "1735689600000000", "1735689600.5", "-1735689600000", "2021-02-30", "2021-01-01",
    "2021-01-01T00:00:00Z", "2021-01-01 00:00:00+05:30", "2021-01-01 24:00:00",
    "2021-06-30 23:59:60", "01/02/2021", "13/01/2021", "1970-01-01", "9999-12-31", "0001-01-01",
    "12:00", "20210101", "20210101120000", "Jan 5, 2021", "=1+1", "#REF!", "\x1b[31m", "\x00",
    "\u2028", "\x0b", "\u0661\u0662", "1\r2", "a;b", "a,b", "a\tb",
)  # fmt: skip
_NAMES = (
    "time", "open", "high", "low", "close", "volume", "rate", "symbol", "date", "timestamp",
    "close_time", "fundingRate", "quote_volume", "", "Open", "OPEN ", "price", "x", "mark_close",
)  # fmt: skip


@dataclass
class Case:
    """A hurt file; ``layout`` tells that more than single rows was touched."""

    base: Base
    content: bytes
    layout: bool
    did: list[str]


Text = Callable[[list[bytes], Base, random.Random], list[bytes]]


def _at(lines: list[bytes], base: Base, rng: random.Random) -> int:
    """Some line of data."""
    return rng.randrange(min(base.head, len(lines) - 1), len(lines))


def _mark(base: Base) -> bytes:
    first = base.content.split(b"\n", 3)[:3]
    marks = (b",", b";", b"\t")
    return max(marks, key=lambda m: first[-1].count(m))


def _fields(line: bytes, base: Base) -> tuple[list[bytes], bytes]:
    body = line.rstrip(b"\r\n")
    return body.split(_mark(base)), line[len(body) :]


def _some_field(change: Callable[[bytes, random.Random], bytes]) -> Text:
    def hurt(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
        at = _at(lines, base, rng)
        fields, end = _fields(lines[at], base)
        i = rng.randrange(min(len(fields), 7))
        fields[i] = change(fields[i], rng)
        lines[at] = _mark(base).join(fields) + end
        return lines

    return hurt


def _digit(field: bytes, rng: random.Random) -> bytes:
    places = [i for i, c in enumerate(field) if 48 <= c <= 57]
    if not places:
        return b"7"
    i = rng.choice(places)
    return field[:i] + str(rng.randrange(10)).encode() + field[i + 1 :]


def _number_form(field: bytes, rng: random.Random) -> bytes:
    text = field.decode(errors="replace")
    return rng.choice(
        (f" {text} ", f'"{text}"', f"-{text}", f"+{text}", text.replace(".", ","), text + "0",
         text.replace(".", ""), text + "000", text[:-3], text + "%", text + "K", f"${text}",
         text + ".0", text + "e3", "1" + text, text.replace("-", "/"), text.replace(" ", "T"),
         text + "Z", text + "+02:00", text + ".5", text + "\u00a0", text.replace(":", "-"))
    ).encode()  # fmt: skip


def _move_field(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    at = _at(lines, base, rng)
    fields, end = _fields(lines[at], base)
    i, j = rng.randrange(len(fields)), rng.randrange(len(fields))
    how = rng.randrange(4)
    if how == 0:
        fields[i], fields[j] = fields[j], fields[i]
    elif how == 1:
        del fields[i]
    elif how == 2:
        fields.insert(i, fields[j])
    else:
        fields[i] = fields[j]
    lines[at] = _mark(base).join(fields) + end
    return lines


def _drop_line(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    at = _at(lines, base, rng)
    del lines[at : at + rng.choice((1, 1, 2, 20))]
    return lines


def _double_line(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    lines.insert(_at(lines, base, rng), lines[_at(lines, base, rng)])
    return lines


def _swap_lines(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    i, j = _at(lines, base, rng), _at(lines, base, rng)
    lines[i], lines[j] = lines[j], lines[i]
    return lines


def _other_order(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    data = lines[base.head :]
    if rng.random() < 0.5:
        data.reverse()
    else:
        rng.shuffle(data)
    return lines[: base.head] + data


def _cut_line(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    at = _at(lines, base, rng)
    keep = rng.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:keep] + rng.choice((b"\n", b""))
    return lines


def _odd_line(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    odd = (
        b"\n", b"   \n", b"# a remark\n", b"Total,1,2,3,4,5\n", b",,,,,\n", b'"\n', b'"",""\n',
        lines[0], b"\xff\xfe\n", b"\0\0\0\n", b"a" * 70_000 + b"\n", b"null\n", b"\r", b"\r\r\n",
    )  # fmt: skip
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(odd))
    return lines


def _line_mark(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    at = _at(lines, base, rng)
    lines[at] = lines[at].replace(_mark(base), rng.choice((b",", b";", b"\t", b"|", b" ")))
    return lines


def _time_unit(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    """Some rows with their epoch in another unit, or moved a little."""
    for _ in range(rng.choice((1, 3))):
        at = _at(lines, base, rng)
        fields, end = _fields(lines[at], base)
        if fields[0].isdigit():
            value = int(fields[0])
            changed = (
                value * 1000, value // 1000, value * 1_000_000, value + 1, value - 1,
                value + 500, value + 60_000, value + 1_800_000, value + 86_400_000, -value,
            )  # fmt: skip
            fields[0] = str(rng.choice(changed)).encode()
        lines[at] = _mark(base).join(fields) + end
    return lines


_TEXT_ROWS: tuple[Text, ...] = (
    _some_field(_digit), _some_field(_digit), _some_field(_number_form),
    _some_field(lambda f, rng: rng.choice(TOKENS).encode()),
    _some_field(lambda f, rng: rng.choice(TOKENS).encode()),
    _move_field, _drop_line, _double_line, _swap_lines, _other_order, _cut_line, _odd_line,
    _line_mark, _time_unit,
)  # fmt: skip


# --- the whole text -------------------------------------------------------------------------------


def _header(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    if not base.head:
        names = b"time,open,high,low,close,volume".split(b",")
        rng.shuffle(names)
        return [_mark(base).join(names) + b"\n", *lines]
    fields, end = _fields(lines[base.head - 1], base)
    how, i = rng.randrange(6), rng.randrange(len(fields))
    if how == 0:
        fields[i] = rng.choice(_NAMES).encode()
    elif how == 1:
        j = rng.randrange(len(fields))
        fields[i], fields[j] = fields[j], fields[i]
    elif how == 2:
        del fields[i]
    elif how == 3:
        fields = [f.upper() for f in fields]
    elif how == 4:
        del lines[base.head - 1]
        return lines
    else:
        fields.insert(i, rng.choice(_NAMES).encode())
    lines[base.head - 1] = _mark(base).join(fields) + end
    return lines


def _every_mark(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    other = rng.choice((b",", b";", b"\t", b"|", b" "))
    return [line.replace(_mark(base), other) for line in lines]


def _decimal_commas(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    data = [line.replace(_mark(base), b";").replace(b".", b",") for line in lines]
    if rng.random() < 0.5:
        at = rng.randrange(len(data))
        data[at] = lines[at].replace(_mark(base), b";")
    return data


def _quoted(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    mark = _mark(base)
    return [
        b'"' + line.rstrip(b"\r\n").replace(mark, b'"' + mark + b'"') + b'"\n' for line in lines
    ]


def _ends(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    ends = rng.choice(((b"\r\n",), (b"\r",), (b"\n", b"\r\n"), (b"\n", b"\r"), (b"\n\n",)))
    return [line.rstrip(b"\r\n") + rng.choice(ends) for line in lines]


def _column_gone(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    width = len(_fields(lines[-1], base)[0])
    i, doubled = rng.randrange(width), rng.random() < 0.3
    out = []
    for line in lines:
        fields, end = _fields(line, base)
        if i < len(fields):
            fields[i : i + 1] = [fields[i]] * 2 if doubled else []
        out.append(_mark(base).join(fields) + end)
    return out


def _column_changed(lines: list[bytes], base: Base, rng: random.Random) -> list[bytes]:
    """One column of all rows in another writing."""
    state, i = rng.getrandbits(32), rng.randrange(7)
    out = lines[: base.head]
    for line in lines[base.head :]:
        fields, end = _fields(line, base)
        if i < len(fields):
            fields[i] = _number_form(fields[i], random.Random(state))
        out.append(_mark(base).join(fields) + end)
    return out


_TEXT_WHOLE: tuple[Text, ...] = (
    _header, _header, _every_mark, _decimal_commas, _quoted, _ends, _column_gone, _column_changed,
    lambda lines, base, rng: [b"Made by a tool, 2021\n", *lines],
    lambda lines, base, rng: lines[: base.head + rng.randrange(3)],
    lambda lines, base, rng: lines[base.head :],
    lambda lines, base, rng: lines + lines[base.head :][::-1],
)  # fmt: skip


# --- bytes ----------------------------------------------------------------------------------------


def _hurt_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    how = rng.randrange(6)
    if not data:
        return content
    if how <= 1:
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == 2:
        for _ in range(rng.choice((1, 3))):
            data[rng.randrange(len(data))] = rng.choice(b'\0\xff",;\n\r\t \xe9\x1a-.0')
    elif how == 3:
        del data[rng.randrange(len(data)) :]
    elif how == 4:
        at = rng.randrange(len(data))
        del data[at : at + rng.choice((1, 1, 5, 100))]
    else:
        at = rng.randrange(len(data))
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4))))
    return bytes(data)


def _encoded(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", errors="replace")
    codec = rng.choice(("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "latin-1", "cp037"))
    return text.encode(codec, errors="replace")


def _packed(content: bytes, name: str, rng: random.Random) -> bytes:
    how = rng.randrange(4)
    if how == 0:
        return gzip.compress(content, mtime=0)
    if how == 1:
        return bz2.compress(content)
    if how == 2:
        return lzma.compress(content)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


# --- JSON and Arrow -------------------------------------------------------------------------------

_VALUES: tuple[Any, ...] = (
    None, True, False, "abc", "", "1.5", "1,234.5", [], {}, [1], {"a": 1}, 10**30, -1, 0, 1e308,
    float("nan"), float("inf"), 1735689600, 1735689600000.5, "2021-01-01", "2021-01-01T00:00:00Z",
)  # fmt: skip


def _hurt_json(content: bytes, rng: random.Random) -> bytes:
    document = json.loads(content)
    rows = document
    if isinstance(document, dict):
        rows = next(v for v in document["result"].values() if isinstance(v, list))
    for _ in range(rng.choice((1, 1, 3))):
        if not rows:
            break
        row = rng.choice(rows)
        if not isinstance(row, (list, dict)) or not row:
            continue
        key = rng.choice(list(row)) if isinstance(row, dict) else rng.randrange(len(row))
        how = rng.randrange(7)
        if how <= 2:
            row[key] = rng.choice(_VALUES)
        elif how == 3:
            del row[key]
        elif how == 4:
            rows.insert(rng.randrange(len(rows)), rng.choice((row, *_VALUES[:12])))
        elif how == 5:
            rows.remove(row)
        elif isinstance(row, dict):
            row[rng.choice(_NAMES)] = rng.choice(_VALUES)
        else:
            row.append(rng.choice(_VALUES))
    how = rng.randrange(8)
    if how == 0 and isinstance(document, list):
        return "\n".join(json.dumps(row) for row in rows).encode()
    if how == 1 and rows and isinstance(rows[0], dict):
        columns = {k: [r.get(k) for r in rows if isinstance(r, dict)] for k in rows[0]}
        return json.dumps({"data": columns}).encode()
    text = json.dumps(document)
    if how == 2:
        found = list(re.finditer(r'"(open|close|low|time|ts)": [\d.]+', text))
        if found:  # a key that stands twice
            one = rng.choice(found)
            text = text[: one.end()] + f', "{one[1]}": 5.0' + text[one.end() :]
    return text.encode()


def _hurt_table(base: Base, rng: random.Random) -> bytes:
    import pyarrow as pa

    if base.sort == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(base.content))
    else:
        from pyarrow import feather

        table = feather.read_table(io.BytesIO(base.content))
    i = rng.randrange(table.num_columns)
    name, values = table.column_names[i], table.column(i).to_pylist()
    how = rng.randrange(8)
    options: dict[str, Any] = {}
    if how <= 2 and values:
        at = rng.randrange(len(values))
        odd = (None, values[rng.randrange(len(values))], values[-1])
        if isinstance(values[at], float):
            odd = (*odd, float("nan"), float("inf"), -1.0, 0.0, values[at] * 10, 1e308, 5e-324)
        elif isinstance(values[at], int):
            odd = (*odd, 0, -1, values[at] + 1, values[at] // 1000, values[at] * 1000)
        values[at] = rng.choice(odd)
        table = table.set_column(i, name, pa.array(values, table.column(i).type))
    elif how == 3:
        kind = rng.choice(
            (pa.string(), pa.float32(), pa.float16(), pa.int64(), pa.int8(), pa.uint64(),
             pa.decimal128(30, 8), pa.timestamp("s"), pa.timestamp("us", "America/New_York"),
             pa.date32(), pa.bool_(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()),
             pa.string_view(), pa.binary(), pa.duration("ms"), pa.time32("ms"))
        )  # fmt: skip
        try:
            table = table.set_column(i, name, table.column(i).cast(kind, safe=False))
        except (pa.ArrowException, ValueError):
            return base.content
    elif how == 4:
        table = table.drop_columns([name])
    elif how == 5:
        names = list(table.column_names)
        names[i] = rng.choice(_NAMES)
        table = table.rename_columns(names)
    elif how == 6:
        order = list(range(table.num_rows)) * rng.choice((1, 2))
        rng.shuffle(order)
        table = table.take(pa.array(order, pa.int64()))
    else:
        codecs = ("none", "snappy", "gzip", "zstd") if base.sort == "parquet" else (
            "uncompressed", "lz4", "zstd")  # fmt: skip
        options["compression"] = rng.choice(codecs)
    try:
        return table_bytes(table, base.sort, **options)
    except (pa.ArrowException, NotImplementedError):
        return base.content


# --- together -------------------------------------------------------------------------------------


def mutate(base: Base, rng: random.Random) -> Case:
    """The base hurt once or a few times; now and then not at all, or packed."""
    case = Case(base, base.content, False, [])
    if base.sort == "text":
        _mutate_text(case, rng)
    else:
        if rng.random() < 0.6:
            hurt = _hurt_json(base.content, rng) if base.sort == "json" else _hurt_table(base, rng)
            case.content, case.layout = hurt, True
            case.did.append(base.sort)
    if rng.random() < (0.15 if case.did else 0.9):
        case.content, case.layout = _hurt_bytes(case.content, rng), True
        case.did.append("bytes")
    if rng.random() < 0.05:
        case.content = _packed(case.content, base.name, rng)
        case.did.append("packed")
        if rng.random() < 0.3:
            case.content, case.layout = _hurt_bytes(case.content, rng), True
            case.did.append("pack hurt")
    return case


def _mutate_text(case: Case, rng: random.Random) -> None:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        lines = case.content.splitlines(keepends=True) if case.content else []
        if not lines:
            return
        whole = rng.random() < 0.25
        hurt = rng.choice(_TEXT_WHOLE if whole else _TEXT_ROWS)
        case.did.append(getattr(hurt, "__name__", "?").strip("_"))
        case.layout |= whole
        case.content = b"".join(hurt(lines, case.base, rng))
    if rng.random() < 0.03:
        case.content, case.layout = _encoded(case.content, rng), True
        case.did.append("encoded")
