"""The ID Photonics CoBrite on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument, LaserLimits
from drivers.lasers.id_photonics_cobrite import MODELS, IdPhotonicsCobrite
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.id_photonics_cobrite import IdPhotonicsCobriteTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _laser(channel: int, answer_end: bytes, echo: bool) -> Instrument:
    bench = SimulatedBench()
    twin = IdPhotonicsCobriteTwin(
        clock=bench.clock,
        serial="SIM01",
        lasers={channel: bench.scene.server_laser},
        answer_end=answer_end,
        echo=echo,
    )
    link = loopback_link(twin, bench.clock, chatty=True, timeout_s=5.0)
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    return IdPhotonicsCobrite("laser", limits=limits, link=link, clock=bench.clock, channel=channel)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "cobrite": lambda: _laser(2, b";", False),
        "cobrite with echo": lambda: _laser(5, b";\r\n", True),
    }
