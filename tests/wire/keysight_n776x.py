"""Attenuator and power meter input of a Keysight N7752A on one twin."""

from collections.abc import Callable

from drivers.detectors.keysight_n7744a import METER_LIMITS, KeysightN7744A
from drivers.instruments import AttenuatorLimits, Instrument, Range
from drivers.path.keysight_n776x import KeysightN776x
from drivers.transports.link import Link
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import PowerPart
from sim_backend.wire.twins.keysight_n776x import KeysightN776xTwin
from tests.wire.rigs import loopback_link

__all__ = ["LIMITS", "makers", "rig"]

LIMITS = AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=45.0))


def rig(bench: SimulatedBench) -> Link:
    """A link to an N7752A, of which an attenuator and an input are in the scene."""
    part = bench.part("server", "launch_power_meter")
    assert isinstance(part, PowerPart)
    twin = KeysightN776xTwin(
        model="N7752A",
        clock=bench.clock,
        serial="SIM01",
        attenuators={3: bench.scene.launch_attenuator},
        sensors={5: part},
    )
    return loopback_link(twin, bench.clock)


def _attenuator() -> Instrument:
    bench = SimulatedBench()
    return KeysightN776x("attenuator", limits=LIMITS, link=rig(bench), clock=bench.clock, channel=3)


def _meter() -> Instrument:
    bench = SimulatedBench()
    return KeysightN7744A(
        "meter",
        limits=METER_LIMITS,
        link=rig(bench),
        clock=bench.clock,
        channel=5,
        models="N7752A",
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight N7752A": _attenuator, "keysight N7752A input": _meter}
