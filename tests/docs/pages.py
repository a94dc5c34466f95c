"""The README and the pages of docs/, taken apart into commands, code, links and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.conftest import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md")
_COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(leverpack|make|python|ulimit) ")
_READER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page: ``kind`` is "shell", "python", "pycon", "output" or "text"."""

    page: Path
    line: int  # 1 is the first
    kind: str
    text: str

    @property
    def where(self) -> str:
        """File and line, for a failed test."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The shell commands, continued lines joined, comments taken off."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        lines = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines()]
        return [line for line in lines if line]


def name_of(page: Path) -> str:
    """The page as the tests name it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order; one that starts like a command is "shell"."""
    for token in _READER.parse(page.read_text(encoding="utf-8")):
        if token.type not in ("fence", "code_block"):
            continue
        kind = token.info.strip() or ("shell" if _COMMAND.match(token.content) else "text")
        assert token.map is not None
        yield Block(page, token.map[0] + 1, kind, token.content)


def inlines(page: Path, kind: str) -> Iterator[str]:
    """The link targets ("link_open"), pictures ("image") or inline code ("code_inline")."""
    for token in _READER.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type != kind:
                continue
            if kind == "code_inline":
                yield child.content
            else:
                yield str(child.attrs["src" if kind == "image" else "href"])


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    tokens = _READER.parse(page.read_text(encoding="utf-8"))
    titles = [
        tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
