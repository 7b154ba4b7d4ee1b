"""The command `veilight bench watch`: what the instruments of benches read, until stopped.

The benches are opened, and so brought to their safe state, and nothing is switched on: what is seen
is what comes in, and whether everything stays as it is. A limit that trips makes all of them safe.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from veilight.cli._exit_codes import ExitCode
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from drivers.bench import Bench
    from drivers.bench.readings import Reading

__all__ = ["run_watch"]

_COLUMNS = ("bench", "role", "what", "reads", "limit", "")


def run_watch(
    screen: Screen, paths: Sequence[Path], *, interval_s: float, looks: int | None
) -> int:
    """Read and show, again and again.

    Args:
        screen: where to; with --json one object per look.
        paths: bench files.
        interval_s: between two looks.
        looks: how many; None until it is stopped.

    Returns:
        The exit status: unsafe when a limit tripped.
    """
    from drivers.bench.readings import read_bench
    from veilight.benches import build_benches, load_benches

    benches = build_benches(load_benches(paths))
    with ExitStack() as stack:
        for bench in benches:
            stack.enter_context(bench)
        with screen.watching(_COLUMNS) as show:
            for look in count(1):
                found = [(bench, read_bench(bench)) for bench in benches]
                screen.result(_record(look, found))
                show(f"Look {look}", partial(_rows, found))
                tripped = [one for _, readings in found for one in readings if one.tripped]
                if tripped:
                    return _trip(screen, benches, tripped, found)
                if look == looks:
                    break
                benches[0].clock.sleep(interval_s)
    screen.table("Last look", _COLUMNS, _rows(found))
    return ExitCode.OK


def _trip(
    screen: Screen,
    benches: "Sequence[Bench]",
    tripped: "Sequence[Reading]",
    found: "Sequence[tuple[Bench, tuple[Reading, ...]]]",
) -> int:
    """Everything to its safe state, whichever bench it was."""
    reason = "; ".join(f"{one.role}: {one.tripped}" for one in tripped)
    with ExitStack() as stack:
        for bench in benches:
            stack.callback(bench.make_safe, reason)
    screen.table("Tripped", _COLUMNS, _rows(found))
    screen.tell(f"TRIPPED, all benches are safe: {reason}")
    return ExitCode.UNSAFE


def _rows(found: "Sequence[tuple[Bench, tuple[Reading, ...]]]") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for bench, readings in found:
        for one in readings:
            state = "TRIPPED" if one.tripped else ""
            rows.append((bench.file.name, one.role, one.what, one.value, one.limit or "", state))
    return rows


def _record(look: int, found: "Sequence[tuple[Bench, tuple[Reading, ...]]]") -> dict[str, object]:
    return {
        "look": look,
        "benches": [
            {
                "name": bench.file.name,
                "readings": [
                    {
                        "role": one.role,
                        "what": one.what,
                        "value": one.value,
                        "limit": one.limit,
                        "tripped": one.tripped,
                    }
                    for one in readings
                ],
            }
            for bench, readings in found
        ],
    }
