"""The Thorlabs MBX bias controller on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.modulators.thorlabs_mbx import MODELS, ThorlabsMBX
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import BiasPart
from sim_backend.wire.twins.thorlabs_mbx import ThorlabsMBXTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _controller() -> Instrument:
    """With light in its modulator: it cannot lock in the dark."""
    bench = SimulatedBench()
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(10.0)
    part = bench.part("server", "weight_bias")
    assert isinstance(part, BiasPart)
    twin = ThorlabsMBXTwin(clock=bench.clock, bias=part)
    link = loopback_link(twin, bench.clock, line=True)
    return ThorlabsMBX("bias", limits=MODELS[0].limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"thorlabs MBX": _controller}
