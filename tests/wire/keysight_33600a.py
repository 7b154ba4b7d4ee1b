"""The Keysight 33600A generator on its twin."""

from collections.abc import Callable

from drivers.instruments import GeneratorLimits, Instrument, Range
from drivers.modulators.keysight_33600a import MODELS, Keysight33600A
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import GeneratorPart
from sim_backend.wire.twins.keysight_33600a import Keysight33600ATwin
from tests.wire.rigs import loopback_link

__all__ = ["LIMITS", "makers"]

LIMITS = GeneratorLimits(
    channels=1,
    volts=Range(lowest=-1.0, highest=1.0),
    sample_rate_hz=Range(lowest=1e3, highest=1e9),
    samples=1000,
    bits=14,
)
"""What few waveforms need."""


def _generator(bench: SimulatedBench | None = None, *, conflicts: bool = False) -> Instrument:
    bench = SimulatedBench() if bench is None else bench
    part = bench.part("server", "weight_generator")
    assert isinstance(part, GeneratorPart)
    twin = Keysight33600ATwin(
        model="33622A",
        clock=bench.clock,
        serial="SIM01",
        parts={2: part},
        burst_conflicts=conflicts,
    )
    return Keysight33600A(
        "generator",
        limits=MODELS[-1].limits,  # type: ignore[arg-type]
        link=loopback_link(twin, bench.clock),
        clock=bench.clock,
        channel=2,
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "keysight 33600A": _generator,
        "keysight 33600A with conflicts": lambda: _generator(conflicts=True),
    }
