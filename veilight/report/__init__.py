"""One self-contained HTML page about one or several runs, for readers who were not there.

The page needs neither network nor script, follows the light or dark setting of the reader's system
and can be printed. It shows what only someone who owns both parties may see.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    from veilight.run_values import RunResult

__all__ = ["write_report"]


def write_report(
    path: Path, results: "Sequence[RunResult]", title: str, *, overwrite: bool = False
) -> Path:
    """Write a page about `results`.

    The file appears whole or not at all.

    Args:
        path: the HTML file to write, in a folder that exists.
        results: the runs, in the order of the page; at least one.
        title: heading of the page.
        overwrite: replace a file that exists.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: no results.
        OutputError: the file exists and `overwrite` is false, or it cannot be written.
    """
    from veilight.report._page import render_page
    from veilight.report._write import check_free, write_whole

    if not results:
        raise ConfigurationError("a report needs at least 1 result, got 0; run something first")
    path = Path(path)
    if not overwrite:
        check_free(path)  # before the work of drawing the page
    write_whole(path, render_page(results, title), overwrite=overwrite)
    return path
