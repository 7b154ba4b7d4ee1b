"""The drivers that can ask for an interlock, on their twins."""

import pytest

from drivers.errors import ReadbackError, RefusedError
from drivers.instruments import Laser, LaserLimits, Range
from drivers.lasers.id_photonics_cobrite import MODELS, IdPhotonicsCobrite
from drivers.lasers.koheron_ctl200 import Ctl200Settings, KoheronCTL200
from sim_backend.instruments import Fault, FaultKind, SimulatedBench
from sim_backend.instruments.parts import AmplifierPart
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.wire.twins.amonics_aedfa import AmonicsTwin
from sim_backend.wire.twins.id_photonics_cobrite import IdPhotonicsCobriteTwin
from sim_backend.wire.twins.koheron_ctl200 import Diode, KoheronCTL200Twin
from tests.wire.amonics_aedfa import amplifier_on
from tests.wire.rigs import loopback_link
from tests.wire.scripted import Script


def test_cobrite_is_dark_and_says_so_when_the_interlock_of_the_box_opens() -> None:
    bench = SimulatedBench()
    source = bench.scene.server_laser
    twin = IdPhotonicsCobriteTwin(clock=bench.clock, serial="SIM01", lasers={1: source})
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    link = loopback_link(twin, bench.clock, chatty=True, timeout_s=5.0)
    with IdPhotonicsCobrite("laser", limits=limits, link=link, clock=bench.clock) as laser:
        laser.set_emission(True)
        assert laser.interlock_closed() is True
        twin.set_interlock(False)
        assert laser.interlock_closed() is False
        assert not source.emission()
        twin.set_interlock(True)
        assert laser.interlock_closed() is True
        assert not source.emission()


def test_koheron_remembers_an_interlock_that_opened_until_it_is_opened_anew() -> None:
    bench = SimulatedBench()
    source = bench.scene.server_laser
    diode = Diode(slope_w_per_a=0.2, threshold_a=0.01, wavelength_m=1550e-9)
    twin = KoheronCTL200Twin(clock=bench.clock, serial="SIM200", laser=source, diode=diode)
    laser: Laser = KoheronCTL200(
        "laser",
        limits=LaserLimits(
            power_w=Range(lowest=0.5e-3, highest=40e-3),
            wavelength_m=Range(lowest=1549.5e-9, highest=1550.5e-9),
        ),
        link=loopback_link(twin, bench.clock, line=True),
        clock=bench.clock,
        settings=Ctl200Settings(
            slope_w_per_a=0.2, threshold_a=0.01, max_current_a=0.25, wavelength_m=1550e-9
        ),
    )
    session = twin.session()
    session.feed(b"lckon 1\r\n")
    with laser:
        assert (
            laser.interlock_closed() is None
        )  # a closed contact cannot be told from a bridged one
        laser.set_emission(True)
        twin.interlock_closed = False
        bench.clock.advance(0.1)
        assert laser.interlock_closed() is False
        assert not source.emission()
        with pytest.raises(RefusedError, match="interlock"):
            laser.set_emission(True)
    twin.interlock_closed = True
    with laser:
        assert laser.interlock_closed() is None


@pytest.mark.parametrize(("answer", "closed"), [(b"0;", True), (b"1;", False)])
def test_cobrite_asks_for_the_interlock_in_the_maker_s_words(answer: bytes, closed: bool) -> None:
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    script = Script(
        [
            (b"ECHO 0;", b";"),
            (b"*IDN?;", b"ID Photonics GmbH,CoBrite DX1,12,2.1.17;"),
            (b"LIM? 1,1,1;", b"191.1,196.1,12,6.00,15.50;"),
            (b"STAT 1,1,1,0;", b";"),
            (b"STAT? 1,1,1;", b"0;"),
            (b"INTL?;", answer),
        ]
    )
    link = script.link(chatty=True)
    laser = IdPhotonicsCobrite("laser", limits=limits, link=link, clock=script.clock)
    laser.open()
    assert laser.interlock_closed() is closed
    script.finish()


def test_amonics_says_that_it_is_locked_until_somebody_unlocks_it() -> None:
    bench = SimulatedAmplifierBench()
    part = bench.part("client", "amplifier")
    assert isinstance(part, AmplifierPart)
    twin = AmonicsTwin(clock=bench.clock, amplifier=part)
    amplifier = amplifier_on(twin, bench)
    with amplifier:
        assert amplifier.interlock_closed() is True
        twin.open_interlock()
        assert amplifier.interlock_closed() is False
        twin.open_interlock(False)
        assert amplifier.interlock_closed() is False  # it keeps that in mind
        twin.session().feed(b":THRES:INTERLOCK:UNLOCK 1\r\n")
        bench.clock.advance(1.0)
        assert amplifier.interlock_closed() is True


def test_simulated_laser_of_the_amplifier_bench_is_dark_when_its_interlock_opens() -> None:
    bench = SimulatedAmplifierBench()
    with bench.laser("server", "laser") as laser:
        laser.set_emission(True)
        fault = Fault(kind=FaultKind.INTERLOCK_OPEN, target="laser", start_s=bench.clock.now())
        bench.faults.add(fault)
        assert laser.interlock_closed() is False
        bench.faults.clear()
        assert laser.interlock_closed() is True
        assert not laser.emission()


def test_simulated_laser_is_dark_when_its_interlock_opens_and_stays_so() -> None:
    bench = SimulatedBench()
    with bench.laser("server", "laser") as laser:
        laser.set_emission(True)
        assert laser.interlock_closed() is True
        fault = Fault(kind=FaultKind.INTERLOCK_OPEN, target="laser", start_s=bench.clock.now())
        bench.inject(fault)
        bench.clock.advance(1e-3)
        assert not bench.scene.server_laser.emission()
        assert laser.interlock_closed() is False
        with pytest.raises(ReadbackError, match="emission was set to True but reads back as False"):
            laser.set_emission(True)
        bench.faults.clear()
        bench.clock.advance(1e-3)
        assert laser.interlock_closed() is True
        assert not laser.emission()
