"""A table as text for a terminal, as Markdown, and as LaTeX (booktabs)."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

MARK = "*"
"""What ends a cell that stands out."""
MISSING = "-"
"""A cell without a value."""
WIDTH = 100
"""Characters of a line on a terminal; the columns of a wider table go on below."""
GAP = "  "


class Table(NamedTuple):
    """Texts in rows and columns."""

    title: str
    labels: list[str]
    """Headings of the first columns, which say what a row is about."""
    columns: list[str]
    """Headings of the other columns."""
    rows: list[list[str]]
    """Cells; those that end with `MARK` stand out."""
    notes: tuple[str, ...] = ()
    """Lines under the table."""


def as_text(table: Table) -> str:
    """Return a table of at most `WIDTH` characters a line, as far as its cells allow."""
    lines = [*_wrapped(table.title), ""]
    for columns in _fitting(table):
        shown = [*range(len(table.labels)), *columns]
        # what has no value in these columns is left out here
        rows = [
            [row[n] for n in shown] for row in table.rows if any(row[n] != MISSING for n in columns)
        ]
        headings = [*table.labels, *table.columns]
        lines += [*_aligned([[headings[n] for n in shown], *rows], len(table.labels)), ""]
    notes = [line for note in table.notes for line in _wrapped(note)]
    return "\n".join([*lines, *notes, *([""] if notes else [])])


def _fitting(table: Table) -> Iterator[list[int]]:
    """Yield the numbers of columns that stand side by side, beside the labels."""
    cells = [[*table.labels, *table.columns], *table.rows]
    widths = [max(len(row[n]) for row in cells) + len(GAP) for n in range(len(cells[0]))]
    room = WIDTH - sum(widths[: len(table.labels)])
    block: list[int] = []
    for number in range(len(table.labels), len(widths)):
        if block and sum(widths[n] for n in [*block, number]) > room:
            yield block
            block = []
        block.append(number)
    if block:
        yield block


def _aligned(rows: Sequence[Sequence[str]], num_labels: int) -> list[str]:
    """Return lines: labels on the left of their columns, numbers on the right, marks beyond."""
    columns = []
    for number, cells in enumerate(zip(*rows, strict=True)):
        if any(cell.endswith(MARK) for cell in cells):
            cells = tuple(cell if cell.endswith(MARK) else f"{cell} " for cell in cells)
        width = max(map(len, cells))
        columns.append([f"{cell:{'<' if number < num_labels else '>'}{width}}" for cell in cells])
    return [GAP.join(row).rstrip() for row in zip(*columns, strict=True)]


def _wrapped(note: str) -> list[str]:
    return textwrap.wrap(note, WIDTH, subsequent_indent=GAP, break_long_words=False)


def as_markdown(table: Table) -> str:
    """Return a table in Markdown, what stands out in bold."""
    sides = [":--"] * len(table.labels) + ["--:"] * len(table.columns)
    rows = [[_emphasized(cell, "**{}**".format) for cell in row] for row in table.rows]
    lines = [[*table.labels, *table.columns], sides, *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {note}" for note in table.notes)
    return f"**{table.title}**\n\n{text}\n" + (f"\n{notes}\n" if notes else "")


def as_latex(table: Table) -> str:
    r"""Return a table in LaTeX, what stands out in bold, and the notes as comments.

    Its rules need \usepackage{booktabs}.
    """
    rows = [
        [_emphasized(_latex(cell), r"\textbf{{{}}}".format) for cell in row] for row in table.rows
    ]
    headings = [_latex(heading) for heading in [*table.labels, *table.columns]]
    text: str = pd.DataFrame(rows, columns=headings).to_latex(
        index=False,
        escape=False,
        caption=_latex(table.title),
        column_format="l" * len(table.labels) + "r" * len(table.columns),
        position="t",
    )
    centred = text.replace("\\caption", "\\centering\n\\caption", 1)
    return "".join(f"% {note}\n" for note in table.notes) + centred


LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "_%&#$"},
        **{"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "²": "$^2$"},
    }
)
MINUS = re.compile(r"(?<![\w.])-(?=\d)")
"""The sign of a number, not the dash of a name."""


def _latex(text: str) -> str:
    """Return text that LaTeX prints as it is; names of entries hold no other special characters."""
    return "--" if text == MISSING else MINUS.sub("$-$", text.translate(LATEX))


def _emphasized(cell: str, emphasis: Callable[[str], str]) -> str:
    return emphasis(cell.removesuffix(MARK)) if cell.endswith(MARK) else cell


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "latex": as_latex,
}
