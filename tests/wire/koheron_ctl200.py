"""The Koheron CTL200 on its twin, with a diode that is tuned by its temperature."""

from collections.abc import Callable

from drivers.instruments import Instrument, LaserLimits, Range
from drivers.lasers.koheron_ctl200 import Ctl200Settings, KoheronCTL200
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.koheron_ctl200 import Diode, KoheronCTL200Twin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]

_LIMITS = LaserLimits(
    power_w=Range(lowest=0.5e-3, highest=40e-3),
    wavelength_m=Range(lowest=1549.5e-9, highest=1550.5e-9),
)
_SETTINGS = Ctl200Settings(
    slope_w_per_a=0.2,
    threshold_a=0.01,
    max_current_a=0.25,
    wavelength_m=1550e-9,
    thermistor_ohm=10e3,
    beta_k=3930.0,
    tuning_m_per_k=0.1e-9,
)


def _laser() -> Instrument:
    bench = SimulatedBench()
    diode = Diode(
        slope_w_per_a=0.2,
        threshold_a=0.01,
        wavelength_m=1550e-9,
        thermistor_ohm=10e3,
        beta_k=3930.0,
        tuning_m_per_k=0.1e-9,
    )
    twin = KoheronCTL200Twin(
        clock=bench.clock, serial="SIM200", laser=bench.scene.server_laser, diode=diode
    )
    return KoheronCTL200(
        "laser",
        limits=_LIMITS,
        link=loopback_link(twin, bench.clock, line=True),
        clock=bench.clock,
        settings=_SETTINGS,
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"koheron CTL200": _laser}
