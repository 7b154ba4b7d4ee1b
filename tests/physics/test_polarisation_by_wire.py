"""The search of the polarisation finds the overlap with real controllers' twins, in decent time."""

from collections.abc import Callable, MutableMapping

import pytest

from calibration.routines._stage import PARTIES
from drivers.instruments import Instrument, PolarisationController, PolarisationLimits
from drivers.path import ozoptics_epc, thorlabs_mpc320
from sim_backend.scene import truth
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.polarisation import PolarisationController as Retarders
from sim_backend.wire.twins.ozoptics_epc import OZOpticsEPCTwin
from sim_backend.wire.twins.thorlabs_mpc320 import ThorlabsMPC320Twin
from tests.unit.calibration.routines.lit_bench import lit_bench, routine
from tests.wire.rigs import loopback_link

_ROLES = ("client.polarisation", "server.return_polarisation")


def paddles(role: str, clock: SimulatedClock, part: Retarders) -> PolarisationController:
    limits = thorlabs_mpc320.MODELS[0].limits
    assert isinstance(limits, PolarisationLimits)
    twin = ThorlabsMPC320Twin(clock=clock, serial="SIM1", controller=part)
    link = loopback_link(twin, clock, line=True, chatty=True)
    return thorlabs_mpc320.ThorlabsMPC320(role, limits=limits, link=link, clock=clock)


def squeezers(role: str, clock: SimulatedClock, part: Retarders) -> PolarisationController:
    limits = ozoptics_epc.MODELS[0].limits
    assert isinstance(limits, PolarisationLimits)
    twin = OZOpticsEPCTwin(clock=clock, controller=part)
    link = loopback_link(twin, clock, line=True)
    return ozoptics_epc.OZOpticsEPC(role, limits=limits, link=link, clock=clock)


@pytest.mark.parametrize(
    ("make", "least", "longest_s"),
    [(paddles, 0.999, 90.0), (squeezers, 0.9999, 30.0)],
    ids=["paddles", "squeezers"],
)
def test_polarisation_is_aligned_when_the_controllers_speak_over_a_wire(
    make: Callable[[str, SimulatedClock, Retarders], PolarisationController],
    least: float,
    longest_s: float,
) -> None:
    bench = lit_bench()
    instruments = bench.access.instruments
    assert isinstance(instruments, MutableMapping)
    parts = (bench.scene.client_polarisation, bench.scene.server_polarisation)
    exchanged: dict[str, Instrument] = {}
    for role, part in zip(_ROLES, parts, strict=True):
        exchanged[role] = make(role, bench.bench.clock, part)
        exchanged[role].open()
    instruments.update(exchanged)
    begun_s = bench.bench.clock.now()
    bench.run(routine("polarisation"), {"slots": 512})
    for party in PARTIES:
        assert truth.visibility(bench.scene, party) > 0.98 * least  # 0.98 is the scene's best
    assert bench.bench.clock.now() - begun_s < longest_s
