"""The command `veilight twin`: a bench of emulated instruments that runs until it is stopped."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from veilight.cli._exit_codes import ExitCode
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from sim_backend.wire.twin_bench import TwinBench
    from veilight.twins import TwinTalk

__all__ = ["run_twin"]

_COLUMNS = ("roles", "model", "address", "clients", "messages", "to it", "from it")
_LOOK_S = 0.5


def run_twin(
    screen: Screen, paths: Sequence[Path], *, speed: float, out: Path | None, seed: int | None
) -> int:
    """Serve the twins of bench files; write bench files that point to them; show who talks.

    Args:
        screen: where to.
        paths: bench files of real instruments, one or one per party.
        speed: simulated seconds per second on the wall.
        out: folder of the written files; None for that of the originals.
        seed: of the scene; None as in the files.

    Returns:
        Never, but for an interruption: that ends it, and is how it is meant to end.
    """
    from veilight.twins import TwinTalk, twin_bench, write_twin_files

    talk = TwinTalk()
    bench = twin_bench(paths, speed=speed, seed=seed, listener=talk)
    try:
        written = write_twin_files(bench, paths, out)
        bench.start()
        _announce(screen, bench, written)
        _run(screen, bench, talk)
    except KeyboardInterrupt:
        screen.say("Stopped; the addresses are gone.")
    finally:
        bench.stop()
    return ExitCode.OK


def _announce(screen: Screen, bench: "TwinBench", written: Sequence[Path]) -> None:
    places = list(zip(bench.boxes, bench.served, strict=True))
    rows = [
        (", ".join(box.roles), box.twin.model, served.address, box.serial) for box, served in places
    ]
    screen.table("Twins", ("roles", "model", "address", "serial"), rows)
    for path in written:
        screen.tell(f"Bench file: {path}")
    screen.say("Use these files as those of a real bench. Ctrl-C stops the twins.")
    screen.result(
        {
            "files": [str(path) for path in written],
            "twins": [
                {
                    "roles": list(box.roles),
                    "model": box.twin.model,
                    "address": served.address,
                    "original": box.original,
                    "serial": box.serial,
                }
                for box, served in places
            ],
        }
    )


def _run(screen: Screen, bench: "TwinBench", talk: "TwinTalk") -> None:
    """Show who talks until somebody interrupts."""
    forever = threading.Event()
    with screen.watching(_COLUMNS) as show:
        while not forever.wait(_LOOK_S):
            show(f"{bench.clock.now():.1f} s simulated", lambda: _rows(bench, talk))


def _rows(bench: "TwinBench", talk: "TwinTalk") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for box, served in zip(bench.boxes, bench.served, strict=True):
        known = talk.of(served.name)
        clients = str(known.clients) if "::" in served.name else "-"
        rows.append(
            (
                ", ".join(box.roles),
                box.twin.model,
                served.address,
                clients,
                str(known.messages),
                _bytes(known.received),
                _bytes(known.sent),
            )
        )
    return rows


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 10_000:
            return f"{count} {unit}"
        count //= 1000
    return f"{count} GB"
