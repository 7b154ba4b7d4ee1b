"""The Thorlabs MPC320 polarisation controller on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.path.thorlabs_mpc320 import MODELS, ThorlabsMPC320
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.thorlabs_mpc320 import ThorlabsMPC320Twin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _controller() -> Instrument:
    bench = SimulatedBench()
    twin = ThorlabsMPC320Twin(
        clock=bench.clock, serial="SIM01", controller=bench.scene.client_polarisation
    )
    link = loopback_link(twin, bench.clock, line=True, chatty=True)
    return ThorlabsMPC320("paddles", limits=MODELS[0].limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"thorlabs MPC320": _controller}
