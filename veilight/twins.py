"""Benches of twins: what `veilight twin` starts, and the bench files that point to it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError, OutputError
from drivers.files import replace_files
from veilight.benches import load_benches

if TYPE_CHECKING:
    from sim_backend.wire.server import TwinEvent
    from sim_backend.wire.twin_bench import TwinBench

__all__ = ["Talk", "TwinTalk", "twin_bench", "twin_path", "write_twin_files"]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """What has passed between clients and one twin.

    Args:
        clients: connections that are open; a pseudo-terminal does not know.
        messages: pieces received.
        received: bytes from clients.
        sent: bytes to clients.
        last_s: simulated time of the last piece; None before the first.
    """

    clients: int = 0
    messages: int = 0
    received: int = 0
    sent: int = 0
    last_s: float | None = None


class TwinTalk:
    """Counts who talks; the listener of a twin bench. Safe to read from other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._talks: dict[str, Talk] = {}

    def __call__(self, event: "TwinEvent") -> None:
        """Count an event."""
        steps = {"connected": 1, "disconnected": -1}
        received = event.count if event.what == "received" else 0
        sent = event.count if event.what == "sent" else 0
        with self._lock:
            known = self._talks.get(event.address, Talk())
            self._talks[event.address] = Talk(
                clients=known.clients + steps.get(event.what, 0),
                messages=known.messages + (event.what == "received"),
                received=known.received + received,
                sent=known.sent + sent,
                last_s=event.time_s,
            )

    def of(self, address: str) -> Talk:
        """What has passed at an address, as the server names it."""
        with self._lock:
            return self._talks.get(address, Talk())


def twin_bench(
    paths: Sequence[Path],
    *,
    speed: float = 1.0,
    seed: int | None = None,
    listener: TwinTalk | None = None,
) -> "TwinBench":
    """The twins of all instruments of bench files, not yet served.

    Args:
        paths: bench files of real instruments, one or one per party.
        speed: simulated seconds per second on the wall.
        seed: of the scene; None takes that of the files, or 0.
        listener: told who talks.

    Raises:
        ConfigurationError: a file cannot be used, a model is unknown or has no twin, or a limit is
            impossible.
    """
    from drivers.bench import resolve_models
    from sim_backend.wire.twin_bench import TwinBench
    from veilight.benches import registry_for

    files = load_benches(paths)
    for file in files:
        if not file.in_process:
            resolve_models(file, registry_for(files))
    return TwinBench(files, speed=speed, seed=seed, listener=listener)


def twin_path(path: Path, folder: Path | None) -> Path:
    """Where the bench file goes that points to the twins of another one."""
    return (path.parent if folder is None else folder) / f"{path.stem}.twin.toml"


def write_twin_files(
    bench: "TwinBench", paths: Sequence[Path], folder: Path | None = None
) -> tuple[Path, ...]:
    """Write the bench files that point to the twins.

    Args:
        bench: of the files at the paths.
        paths: as for `twin_bench`.
        folder: where to; beside the originals by default.

    Returns:
        The paths written.

    Raises:
        ConfigurationError: a file that is not for twins is in the way.
        OutputError: it cannot be written.
    """
    files: list[tuple[Path, bytes]] = []
    for path, text in zip(paths, bench.texts(), strict=True):
        target = twin_path(path, folder)
        if target.exists() and "twin = true" not in target.read_text(encoding="utf-8"):
            raise ConfigurationError(
                f"{target} exists and is no bench file of twins; move it away or choose another "
                "folder with --out"
            )
        files.append((target, text.encode()))
    for target, content in files:
        try:
            replace_files([(target, content)])
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written: {error.strerror or error}; choose another folder "
                "with --out"
            ) from error
    return tuple(target for target, _ in files)
