"""The Keysight N7714A laser on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument, LaserLimits
from drivers.lasers.keysight_n771x import MODELS, KeysightN771x
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.keysight_n771x import KeysightN771xTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _laser() -> Instrument:
    bench = SimulatedBench()
    twin = KeysightN771xTwin(
        model="N7714A",
        clock=bench.clock,
        serial="SIM01",
        lasers={2: bench.scene.server_laser},
    )
    link = loopback_link(twin, bench.clock)
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    return KeysightN771x("laser", limits=limits, link=link, clock=bench.clock, channel=2)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight N7714A": _laser}
