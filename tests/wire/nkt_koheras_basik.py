"""The NKT Koheras BASIK on its twin, alone and in a mainframe."""

from collections.abc import Callable
from functools import partial

from drivers.instruments import Instrument, LaserLimits, Range
from drivers.lasers.nkt_koheras_basik import BasikSettings, NktKoherasBasik
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.nkt_koheras_basik import NktKoherasTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]

_LIMITS = LaserLimits(
    power_w=Range(lowest=1e-3, highest=40e-3),
    wavelength_m=Range(lowest=1549.8e-9, highest=1550.2e-9),
)


def _laser(mainframe: int) -> Instrument:
    bench = SimulatedBench()
    twin = NktKoherasTwin(
        clock=bench.clock,
        serial="SIM33",
        lasers={2: bench.scene.server_laser},
        mainframe=mainframe,
    )
    return NktKoherasBasik(
        "laser",
        limits=_LIMITS,
        link=loopback_link(twin, bench.clock, line=True),
        clock=bench.clock,
        channel=2,
        settings=BasikSettings(mainframe=mainframe),
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "nkt koheras BASIK": partial(_laser, 0),
        "nkt koheras ADJUSTIK": partial(_laser, 0x80),
    }
