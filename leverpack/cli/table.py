"""Tables on standard output, the same look for every command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_pairs(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """A table of names and values."""
    print_table(title, ("", ""), rows, show_header=False)


def print_table(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, show_header: bool = True
) -> None:
    """A table with a title; text is printed as it is, never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_header=show_header)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)
