"""Tables on standard output, the same look for every command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_pairs(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """A table of names and values."""
    print_table(title, ("", ""), rows, show_header=False)


def print_table(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, show_header: bool = True
) -> None:
    """A table with a title; text is printed as it is, never read as markup.

    One whose words would be broken to fit goes without frame and with narrow gaps.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    rows = [[str(cell) for cell in row] for row in rows]
    table = Table(title=Text(title), title_justify="left", show_header=show_header)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    wide = console.options.update(width=10_000)
    if Measurement.get(console, wide, table).minimum > console.width:
        table.box, table.show_edge, table.padding = SIMPLE_HEAD, False, 0
        widths = _widths([headers, *rows], console.width)
        for column, width in zip(table.columns, widths, strict=False):
            column.width = width
    console.print(table)


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """A width for each column that breaks no word, the rest of the room given to the narrowest.

    Nothing where even the words do not fit: then they are broken.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(len(w) for text in texts for w in f"{text} ".split(" ")) for texts in columns]
    spare = room - sum(widths) - (len(widths) - 1)
    if spare < 0:
        return []
    wants = [max(len(text) for text in texts) - w for texts, w in zip(columns, widths, strict=True)]
    for at in sorted(range(len(widths)), key=lambda i: wants[i]):
        given = min(wants[at], spare)
        widths[at] += given
        spare -= given
    return widths
