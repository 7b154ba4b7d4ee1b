"""The Pure Photonics PPCL550 on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument, LaserLimits, Range
from drivers.lasers.pure_photonics_ppcl550 import PurePhotonicsPPCL550
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.pure_photonics_ppcl550 import PurePhotonicsPPCL550Twin
from tests.wire.rigs import loopback_link

__all__ = ["makers", "sealed"]

_LIMITS = LaserLimits(
    power_w=Range(lowest=5.1e-3, highest=22e-3),
    # Narrow, because a laser that is on can only be fine-tuned.
    wavelength_m=Range(lowest=1549.8e-9, highest=1550.2e-9),
)


def sealed(head: int, register: int, value: int) -> bytes:
    """A packet, its checksum by the agreement's words: the exclusive or of all half bytes."""
    digits = f"{head:01x}{register:02x}{value:04x}"
    total = 0
    for digit in digits:
        total ^= int(digit, 16)
    return bytes.fromhex(f"{total:x}{digits}")


def _laser() -> Instrument:
    bench = SimulatedBench()
    twin = PurePhotonicsPPCL550Twin(
        clock=bench.clock, serial="SIM550", laser=bench.scene.server_laser
    )
    link = loopback_link(twin, bench.clock, line=True)
    return PurePhotonicsPPCL550(
        "laser", limits=_LIMITS, link=link, clock=bench.clock, noise_modes=True
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"pure photonics PPCL550": _laser}
