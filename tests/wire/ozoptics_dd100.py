"""The OZ Optics DD-100-MC attenuator on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.path.ozoptics_dd100 import MODELS, OZOpticsDD100
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.ozoptics_dd100 import OZOpticsDD100Twin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _attenuator() -> Instrument:
    bench = SimulatedBench()
    twin = OZOpticsDD100Twin(clock=bench.clock, attenuator=bench.scene.launch_attenuator)
    link = loopback_link(twin, bench.clock, line=True, chatty=True)
    return OZOpticsDD100("attenuator", limits=MODELS[0].limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"ozoptics DD-100-MC": _attenuator}
