"""Benches of real models whose twins are in the same process, on simulated time.

The same drivers, links and twins as over sockets, without threads: everything repeats exactly, and
faults can be put into any link.
"""

from collections.abc import Sequence
from pathlib import Path

from drivers.bench import Bench, BenchFile, ModelRegistry, load_bench
from drivers.catalogue import register_drivers
from drivers.transports.pool import LinkPool
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import LinkSettings
from drivers.transports.streams import Buffer, ByteStream, StreamOpener
from sim_backend.instruments.faults import FaultPlan
from sim_backend.wire.faulty_pipe import ActiveFaults
from sim_backend.wire.faulty_stream import FaultyLine, FaultyStream
from sim_backend.wire.loopback import LoopbackLine, LoopbackStream
from sim_backend.wire.twin_bench import TwinSet
from sim_backend.wire.wire_faults import WireFaultPlan

__all__ = ["LAB", "LoopbackBench"]

_BENCHES = Path(__file__).resolve().parents[2] / "examples" / "benches"
LAB = (_BENCHES / "lab-server.toml", _BENCHES / "lab-client.toml")


class LoopbackBench:
    """Twins of bench files, and benches that reach them without leaving the process.

    Attributes:
        twins: the twins and their scene.
        clock: simulated time of everything.
        faults: by role, the faults on the link to it; `inject` adds to them.
        open_streams: how many connections are open.
        sent: by role, all that has reached the twin of its box, in pieces as they came.

    Args:
        paths: bench files.
        seed: of the scene.
        plan: what goes wrong in the scene.
    """

    def __init__(
        self, paths: Sequence[Path] = LAB, *, seed: int | None = None, plan: FaultPlan | None = None
    ) -> None:
        files = tuple(load_bench(path) for path in paths)
        self.twins = TwinSet(files, seed=seed, faults=plan)
        self.clock = self.twins.clock
        self.files = self.twins.files
        self.open_streams = 0
        self.faults: dict[str, ActiveFaults] = {}
        self.sent: dict[str, list[bytes]] = {}
        self._active: dict[tuple[str, str], ActiveFaults] = {}
        self._arrived: dict[tuple[str, str], list[bytes]] = {}
        for box in self.twins.boxes:
            # Not all end their lines alike, and some are binary: what is read at once is a message.
            active = ActiveFaults(WireFaultPlan())
            self._active[box.backend, box.original] = active
            arrived = self._arrived[box.backend, box.original] = []
            for role in box.roles:
                self.faults[role] = active
                self.sent[role] = arrived
        self._twins = {(box.backend, box.original): box.twin for box in self.twins.boxes}

    def benches(self) -> tuple[Bench, ...]:
        """Closed benches of the files, with links of their own."""
        registry = ModelRegistry(self.clock, LinkPool(self.clock, self._opening))
        register_drivers(registry)
        return tuple(Bench.build(file, registry) for file in self.files)

    def bench(self, party: str) -> Bench:
        """The closed bench of a party."""
        return next(bench for bench in self.benches() if bench.file.party == party)

    def file(self, party: str) -> BenchFile:
        """The bench file of a party."""
        return next(file for file in self.files if file.party == party)

    def exchange(self, one: tuple[str, str], two: tuple[str, str]) -> None:
        """Exchange the twins at two places, for benches that are made from now on.

        Args:
            one: backend and address of a box.
            two: of the other.
        """
        self._twins[one], self._twins[two] = self._twins[two], self._twins[one]

    def _opening(
        self, backend: str, address: str, settings: LinkSettings, serial: SerialSettings
    ) -> StreamOpener:
        del settings, serial
        twin, active = self._twins[backend, address], self._active[backend, address]
        arrived = self._arrived[backend, address]
        line = backend == "serial"

        def opener(timeout_s: float) -> ByteStream:
            del timeout_s
            inner = (LoopbackLine if line else LoopbackStream)(twin, self.clock)
            send = inner.send

            def kept(data: Buffer, timeout_s: float) -> None:
                arrived.append(bytes(data))
                send(data, timeout_s)

            inner.send = kept  # type: ignore[method-assign]
            outer = (FaultyLine if line else FaultyStream)(inner, active, self.clock)
            self.open_streams += 1
            close = outer.close
            closed = False

            def counted() -> None:
                nonlocal closed
                self.open_streams -= not closed
                closed = True
                close()

            outer.close = counted  # type: ignore[method-assign]
            return outer

        return opener
