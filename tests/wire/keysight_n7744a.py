"""The Keysight N7744A power meter on its twin."""

from collections.abc import Callable

from drivers.detectors.keysight_n7744a import METER_LIMITS, KeysightN7744A
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import PowerPart
from sim_backend.wire.twins.keysight_n7744a import KeysightN7744ATwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _meter() -> Instrument:
    bench = SimulatedBench()
    part = bench.part("server", "launch_power_meter")
    assert isinstance(part, PowerPart)
    twin = KeysightN7744ATwin(model="N7744A", clock=bench.clock, serial="SIM01", sensors={2: part})
    link = loopback_link(twin, bench.clock)
    return KeysightN7744A("meter", limits=METER_LIMITS, link=link, clock=bench.clock, channel=2)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight N7744A": _meter}
