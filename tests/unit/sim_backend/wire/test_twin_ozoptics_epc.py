"""The twin of the OZ Optics EPC in its exact bytes."""

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.instruments import SimulatedBench
from sim_backend.scene.polarisation import PolarisationController, PolarisationControllerSettings
from sim_backend.wire.session import Session
from sim_backend.wire.twins.ozoptics_epc import OZOpticsEPCTwin
from tests.wire.raw import rubbish


def lit() -> tuple[SimulatedBench, OZOpticsEPCTwin, Session]:
    bench = SimulatedBench()
    twin = OZOpticsEPCTwin(clock=bench.clock, controller=bench.scene.client_polarisation)
    return bench, twin, twin.session()


def said(bench: SimulatedBench, session: Session, text: bytes) -> bytes:
    session.feed(text)
    bench.clock.sleep(0.01)
    return session.take()


def test_twin_holds_the_worked_dialogue() -> None:
    bench, _, session = lit()
    assert said(bench, session, b"MDC\r\n") == b"Set To DC Mode\r\nDone\r\n"
    assert said(bench, session, b"V1,2200\r\n") == b"Set CH1 DC Voltage at: 2200mV\r\nDone\r\n"
    assert said(bench, session, b"V?\r\n") == (
        b"Voltage(mV): CH1 +2200 CH2 +0000 CH3 +0000 CH4 +0000\r\nDone\r\n"
    )
    assert said(bench, session, b"V1,9000\r\n") == b"Error!\r\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"V3,0050", b"Set CH3 DC Voltage at: 50mV"),
        (b"V2,-1000", b"Set CH2 DC Voltage at: -1000mV"),
        (b"VH4", b"Set CH4 DC Voltage at: 5000mV"),
        (b"VL4", b"Set CH4 DC Voltage at: -5000mV"),
        (b"VZ4", b"Set CH4 DC Voltage at: 0mV"),
        (b"F?", b"Frequency(Hz): CH1 007  CH2 017  CH3 037  CH4 071"),
        (b"F2,0047", b"Set CH2 AC Frequency at: 47Hz"),
        (b"M?", b"Work Mode: DC"),
        (b"MAC", b"Set To AC Mode"),
        (b"WF2", b"Set AC Waveform at: Triangle"),
        (b"WF?", b"AC Waveform: Sine"),
        (b"ENVF1", b"Enable DC Voltage Output at AC Mode"),
        (b"VF?", b"Hz<->Volt at AC Mode is disabled: CH1-F,CH2-F,CH3-F,CH4-F"),
        (b"SAVE", b"Write Setting to Flash memory"),
    ],
)
def test_twin_answers_every_command_with_a_sentence_and_done(text: bytes, answer: bytes) -> None:
    bench, _, session = lit()
    assert said(bench, session, text + b"\r\n") == answer + b"\r\nDone\r\n"


@pytest.mark.parametrize(
    "text", [b"V5,1", b"V1", b"V1,x", b"V1,1.5", b"F1,101", b"VF1", b"VH1,2", b"FOO", b""]
)
def test_twin_says_error_and_stays_when_it_cannot(text: bytes) -> None:
    bench, twin, session = lit()
    assert said(bench, session, text + b"\r\n") == b"Error!\r\n"
    assert twin.millivolts == [0, 0, 0, 0]


def test_twin_turns_the_light_by_its_voltages() -> None:
    bench, _, session = lit()
    said(bench, session, b"V1,2200\r\nV3,-500\r\n")
    np.testing.assert_allclose(bench.scene.client_polarisation.angles(), [4.4, 0, -1.0, 0])


def test_twin_swings_in_ac_mode_but_for_channels_at_a_voltage() -> None:
    bench, _, session = lit()
    said(bench, session, b"V1,1000\r\nENVF1\r\n")
    assert said(bench, session, b"VF1\r\n").startswith(b"Set CH1 output to: Volt (if possible)")
    assert said(bench, session, b"VF?\r\n").startswith(
        b"Hz<->Volt at AC Mode is enabled: CH1-V,CH2-F"
    )
    said(bench, session, b"MAC\r\n")
    assert said(bench, session, b"M?\r\n") == b"Work Mode: AC(Sine)\r\nDone\r\n"
    seen = []
    for _ in range(50):
        bench.clock.sleep(0.0137)
        seen.append(bench.scene.client_polarisation.angles())
    np.testing.assert_allclose(np.array(seen)[:, 0], 2.0)
    assert np.ptp(np.array(seen)[:, 1:], axis=0).min() > 10
    said(bench, session, b"MDC\r\n")
    np.testing.assert_allclose(bench.scene.client_polarisation.angles(), [2.0, 0, 0, 0])


def test_twin_refuses_a_scene_with_too_few_retarders() -> None:
    controller = PolarisationController(PolarisationControllerSettings(channels=3))
    with pytest.raises(ConfigurationError, match="has 3 retarders; the twin of the EPC needs"):
        OZOpticsEPCTwin(clock=SimulatedBench().clock, controller=controller)


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    bench, _, session = lit()
    good = [b"V1,2200\r\n", b"V?\r\n", b"MAC\r\n", b"F2,47\r\n"]
    for message in rubbish(good, 10_000, seed=9):
        session.feed(message)
    bench.clock.sleep(1.0)
    session.take()
    said(bench, session, b"\r\n")
    assert said(bench, session, b"V?\r\n").endswith(b"\r\nDone\r\n")
