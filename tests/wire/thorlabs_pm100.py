"""The Thorlabs PM100D power meter on its twin."""

from collections.abc import Callable

from drivers.detectors.thorlabs_pm100 import METER_LIMITS, ThorlabsPM100
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import PowerPart
from sim_backend.wire.twins.thorlabs_pm100 import ThorlabsPM100Twin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _meter() -> Instrument:
    bench = SimulatedBench()
    part = bench.part("server", "launch_power_meter")
    assert isinstance(part, PowerPart)
    twin = ThorlabsPM100Twin(model="PM100D", clock=bench.clock, serial="SIM01", head=part)
    link = loopback_link(twin, bench.clock)
    return ThorlabsPM100("meter", limits=METER_LIMITS, link=link, clock=bench.clock)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"thorlabs PM100D": _meter}
