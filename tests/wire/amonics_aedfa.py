"""The Amonics AEDFA on its twin."""

from collections.abc import Callable
from functools import partial

from drivers.dialects.gain_table import GainTable
from drivers.instruments import AmplifierLimits, Instrument, Range
from drivers.path.amonics_aedfa import AmonicsAEDFA
from sim_backend.instruments.parts import AmplifierPart
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.wire.twins.amonics_aedfa import AmonicsTwin
from tests.wire.rigs import loopback_link

__all__ = ["TABLE", "amplifier_on", "makers"]

TABLE = GainTable.parse(
    "40 mA = 0 dB, 53.1 mA = 2 dB, 67.3 mA = 4 dB, 83.2 mA = 6 dB, 100.8 mA = 8 dB, "
    "120.8 mA = 10 dB"
)
"""Points of the twin's own curve."""


def amplifier_on(twin: AmonicsTwin, bench: SimulatedAmplifierBench) -> AmonicsAEDFA:
    """A closed driver on a twin."""
    return AmonicsAEDFA(
        "amplifier",
        limits=AmplifierLimits(
            gain_db=Range(lowest=0.0, highest=10.0), seed_power_w=Range(lowest=1e-6, highest=1e-2)
        ),
        link=loopback_link(twin, bench.clock, line=True),
        clock=bench.clock,
        table=TABLE,
    )


def _amplifier(modes: tuple[str, ...], deaf: int) -> Instrument:
    bench = SimulatedAmplifierBench()
    part = bench.part("client", "amplifier")
    assert isinstance(part, AmplifierPart)
    return amplifier_on(
        AmonicsTwin(clock=bench.clock, amplifier=part, modes=modes, deaf=deaf), bench
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "amonics AEDFA": partial(_amplifier, ("ACC",), 0),
        "amonics AEDFA that misses orders": partial(_amplifier, ("APC", "ACC"), 2),
    }
