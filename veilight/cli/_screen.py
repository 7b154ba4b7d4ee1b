"""What a person or a machine sees: text and tables, progress bars, or one JSON object."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from veilight.cli._fitting import fitted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Advance", "Screen", "ShowLive", "plain"]

WIDTH_WITHOUT_TERMINAL = 120


class Advance(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: float, note: str = "") -> None:
        """Set the bar to `done` of its total and the text beside it."""


class ShowLive(Protocol):
    """Moves a progress bar and changes the table below it."""

    def __call__(self, done: float, note: str, rows: Callable[[], Sequence[Sequence[str]]]) -> None:
        """Set the share that is done, the text beside the bar, and the rows of the table.

        `rows` is called only where somebody sees them.
        """


class Screen:
    """Where a command writes to.

    Results go to the standard output, progress to the standard error.

    Args:
        as_json: write one JSON object and nothing else.
        quiet: no explanations and no progress, only results.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._json, self._quiet = as_json, quiet

    @property
    def talks_in_lines(self) -> bool:
        """Whether progress is wanted and there is no terminal to show a bar on."""
        return not (self._json or self._quiet or self._console(to_error=True).is_terminal)

    def say(self, text: str) -> None:
        """An explanation for people; silent with --quiet and --json."""
        if not (self._json or self._quiet):
            self.tell(text)

    def tell(self, text: str) -> None:
        """A result for people; silent with --json."""
        if not self._json:
            self._console().print(text, markup=False, highlight=False)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        numbers: Sequence[int] = (),
    ) -> None:
        """A table for people; silent with --json.

        Args:
            title: above the table.
            columns: headings.
            rows: cells as text.
            numbers: indices of the columns that are aligned to the right.
        """
        if self._json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        console = self._console()
        # A title of the table's own would be folded to the table's width.
        console.print(Text(title, style="bold"))
        for shown, headings in fitted(columns, rows, numbers=numbers, width=console.width):
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for index in shown:
                right = index in numbers
                justify: Literal["right", "left"] = "right" if right else "left"
                table.add_column(Text(headings[index]), justify=justify, no_wrap=right)
            for row in rows:
                table.add_row(*(Text(row[index]) for index in shown))
            console.print(table)

    def result(self, values: Mapping[str, object]) -> None:
        """The one JSON object of --json; silent otherwise."""
        if self._json:
            sys.stdout.write(json.dumps(plain(values), allow_nan=False) + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, what: str, total: float | None = None) -> Iterator[Advance]:
        """A progress bar with the time to go, on a terminal; nothing elsewhere.

        Args:
            what: the text before the bar.
            total: what `done` runs to; None for a bar that only shows that work goes on.
        """
        console = self._console(to_error=True)
        if self._json or self._quiet or not console.is_terminal:
            yield lambda done, note="": None  # noqa: ARG005
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        ) as bars:
            task = bars.add_task(what, total=total, note="")
            yield lambda done, note="": bars.update(task, completed=done, note=note)

    @contextmanager
    def live(self, what: str, columns: Sequence[str]) -> Iterator[ShowLive]:
        """A progress bar from 0 to 1 above a table that changes, on a terminal; nothing elsewhere.

        Args:
            what: the text before the bar.
            columns: headings of the table.

        Yields:
            Sets the share that is done, the text beside the bar and the rows of the table.
        """
        console = self._console(to_error=True)
        if self._json or self._quiet or not console.is_terminal:
            yield lambda done, note, rows: None  # noqa: ARG005
            return
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", markup=False),
        )
        task = bars.add_task(what, total=1.0, note="")
        with Live(bars, console=console, transient=True, refresh_per_second=4) as live:

            def show(done: float, note: str, rows: Callable[[], Sequence[Sequence[str]]]) -> None:
                bars.update(task, completed=done, note=note)
                live.update(Group(bars, _live_table(columns, rows())))

            yield show

    @contextmanager
    def watching(
        self, columns: Sequence[str]
    ) -> Iterator[Callable[[str, Callable[[], Sequence[Sequence[str]]]], None]]:
        """A table that changes for as long as somebody looks, on a terminal; nothing elsewhere.

        Args:
            columns: headings.

        Yields:
            Sets the title, and the rows, which are only made where somebody sees them.
        """
        console = self._console(to_error=True)
        if self._json or self._quiet or not console.is_terminal:
            yield lambda title, rows: None  # noqa: ARG005
            return
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        with Live(console=console, transient=True, auto_refresh=False) as live:

            def show(title: str, rows: Callable[[], Sequence[Sequence[str]]]) -> None:
                table = _live_table(columns, rows(), judged=False)
                live.update(Group(Text(title, style="bold"), table), refresh=True)

            yield show

    def _console(self, *, to_error: bool = False) -> "Console":
        from rich.console import Console

        # Made anew each time: the streams may have been replaced since.
        stream = sys.stderr if to_error else sys.stdout
        width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
        return Console(stderr=to_error, width=width, soft_wrap=False)


def _live_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, judged: bool = True
) -> "Table":
    """Rows; where they are judged, the last cell says "ok" or what is wrong."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column))
    for row in rows:
        style = "bold red" if judged and row[-1] != "ok" else ""
        table.add_row(*(Text(cell, style=style) for cell in row))
    return table


def plain(value: object) -> object:
    """A value that JSON can hold: tuples become lists, paths text, NaN and infinity null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    item = getattr(value, "item", None)
    return plain(item()) if callable(item) else str(value)
