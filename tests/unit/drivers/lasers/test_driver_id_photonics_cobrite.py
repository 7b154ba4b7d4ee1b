"""The driver of the ID Photonics CoBrite: the bytes that it sends and understands."""

import numpy as np
import pytest

from drivers.dialects.cobrite import CobriteDialogue
from drivers.errors import (
    AnswerError,
    InstrumentError,
    LimitError,
    LinkError,
    LinkTimeoutError,
    RefusedError,
)
from drivers.instruments import Identity, LaserLimits, Range
from drivers.lasers.id_photonics_cobrite import MODELS, IdPhotonicsCobrite
from drivers.transports.link import Link
from tests.wire.raw import rubbish
from tests.wire.scripted import Script, ScriptedClock

LIMITS = LaserLimits(
    power_w=Range(lowest=4e-3, highest=20e-3), wavelength_m=Range(lowest=1529e-9, highest=1568e-9)
)
HELLO = [
    (b"ECHO 0;", b";"),
    (b"*IDN?;", b"ID Photonics GmbH,CoBrite DX1,SN1,2.1.17;"),
    (b"LIM? 1,1,1;", b"191.1020,196.1020,12,6.00,12.00;"),
]
SAFE = [(b"STAT 1,1,1,0;", b";"), (b"STAT? 1,1,1;", b"0;")]


def opened(*pairs: tuple[bytes, bytes]) -> tuple[Script, IdPhotonicsCobrite]:
    script = Script([*HELLO, *SAFE, *pairs])
    link = script.link(chatty=True)
    laser = IdPhotonicsCobrite("laser", limits=LIMITS, link=link, clock=script.clock)
    laser.open()
    return script, laser


def test_dialogue_of_the_sheet_tunes_and_switches_on() -> None:
    script, laser = opened(
        (b"OFF? 1,1,1;", b"0.000;"),
        (b"FREQ 1,1,1,193.1000;", b";"),
        (b"FREQ? 1,1,1;", b"193.1000;"),
        (b"OFF? 1,1,1;", b"0.000;"),
        (b"POW 1,1,1,10.00;", b";"),
        (b"POW? 1,1,1;", b"10.00;"),
        (b"DIT? 1,1,1;", b"-1;"),
        (b"STAT 1,1,1,1;", b";"),
        (b"STAT? 1,1,1;", b"1;"),
        (b"STAT? 1,1,1;", b"1;"),
        (b"BUSY? 1,1,1;", b"1;"),
        (b"STAT? 1,1,1;", b"1;"),
        (b"BUSY? 1,1,1;", b"0;"),
    )
    laser.set_wavelength(299_792_458.0 / 193.1e12)
    laser.set_power(10e-3)
    laser.set_emission(True)
    laser.wait_settled(5.0)
    script.finish()


def test_fine_tuning_is_ended_before_a_new_frequency_and_counts_in_the_wavelength() -> None:
    script, laser = opened(
        (b"FREQ? 1,1,1;", b"193.1000;"),
        (b"OFF? 1,1,1;", b"2.500;"),
        (b"OFF? 1,1,1;", b"2.500;"),
        (b"OFF 1,1,1,0;", b";"),
        (b"FREQ 1,1,1,193.4145;", b";"),
        (b"FREQ? 1,1,1;", b"193.4145;"),
        (b"OFF? 1,1,1;", b"0;"),
    )
    assert laser.wavelength_m() == pytest.approx(299_792_458.0 / 193.1025e12, rel=1e-12)
    laser.set_wavelength(1550e-9)
    script.finish()


def test_dither_is_switched_off_when_it_is_on() -> None:
    script, laser = opened(
        (b"DIT? 1,1,1;", b"1;"),
        (b"DIT 1,1,1,0;", b";"),
        (b"STAT 1,1,1,1;", b";"),
        (b"STAT? 1,1,1;", b"1;"),
    )
    laser.set_emission(True)
    script.finish()


def test_laser_is_busy_when_the_answer_is_empty() -> None:
    _, laser = opened((b"STAT? 1,1,1;", b"1;"), (b"BUSY? 1,1,1;", b";"))
    assert not laser.is_settled()


def test_blanks_behind_answers_and_an_echo_are_dropped() -> None:
    pairs = [
        (b"ECHO 0;", b"ECHO 0;;\r\n"),
        (b"*IDN?;", b"CoBrite;\r\n"),
        (HELLO[2][0], b"\r\n" + HELLO[2][1] + b"\r\n"),
        (b"STAT 1,1,1,0;", b";\r\n"),
        (b"STAT? 1,1,1;", b"0;\r\n"),
    ]
    script = Script(pairs)
    link = script.link(chatty=True)
    laser = IdPhotonicsCobrite("laser", limits=LIMITS, link=link, clock=script.clock)
    laser.open()
    assert laser.identity.model == "CoBrite"
    assert laser.identity.serial == ""


def test_channel_counts_four_lasers_to_a_slot() -> None:
    pairs = [(sent.replace(b"1,1,1", b"1,2,3"), answer) for sent, answer in [*HELLO, *SAFE]]
    script = Script(pairs)
    link = script.link(chatty=True)
    laser = IdPhotonicsCobrite("laser", limits=LIMITS, link=link, clock=script.clock, channel=7)
    laser.open()
    script.finish()


def test_there_is_a_pause_behind_every_command() -> None:
    script, _ = opened()
    assert script.clock.time_s == pytest.approx(0.2 * 5)


def test_set_point_is_refused_when_beyond_the_lasers_own_limit() -> None:
    script, laser = opened(*SAFE)
    with pytest.raises(
        LimitError, match=r"13 dBm is outside the instrument's own limits 6 to 12 dBm"
    ):
        laser.set_power(1e-3 * 10**1.3)
    script.finish()


def test_order_that_is_refused_switches_off() -> None:
    script, laser = opened((b"POW 1,1,1,10.00;", b"ERR 204, locked by another session;"), *SAFE)
    with pytest.raises(RefusedError, match=r"'script: POW 1,1,1,10.00' was refused: 204 locked"):
        laser.set_power(10e-3)
    script.finish()


@pytest.mark.parametrize("answer", [b"ten;", b"10,11;", b"nan;", b";", b"\xff\xfe;"])
def test_power_shows_the_bytes_when_the_answer_makes_no_sense(answer: bytes) -> None:
    _, laser = opened((b"POW? 1,1,1;", answer), *HELLO, (b"POW? 1,1,1;", answer))
    with pytest.raises(AnswerError, match=f"got ({answer[:-1].hex(' ')}|nothing)"):
        laser.power_w()


def test_order_is_never_sent_again_when_the_acknowledgement_is_late() -> None:
    script, laser = opened((b"POW 1,1,1,10.00;", b""), *HELLO, *SAFE)
    with pytest.raises(LinkTimeoutError, match="set power"):
        laser.set_power(10e-3)
    script.finish()


def test_open_shows_both_names_when_another_instrument_answers() -> None:
    script = Script(
        [
            (b"ECHO 0;", b";"),
            (b"*IDN?;", b"Acme,X1,7,1;"),
            (b"LIM? 1,1,1;", b"ERR 100, unknown command;"),
        ]
    )
    link = script.link(chatty=True)
    laser = IdPhotonicsCobrite("laser", limits=LIMITS, link=link, clock=script.clock)
    with pytest.raises(InstrumentError, match="CoBrite with a laser 1,1,1 was expected, 'Acme X1"):
        laser.open()


def probed(script: Script) -> Identity:
    link = script.link(chatty=True)
    link.attach("discovery", lambda: None)
    probe = MODELS[0].probe
    assert probe is not None
    return probe(link)


def test_probe_knows_a_cobrite_by_the_limits_of_its_first_laser() -> None:
    script = Script([HELLO[2], HELLO[1]])
    assert probed(script).model == "CoBrite DX1"
    script.finish()


@pytest.mark.parametrize("answer", [b"ERR 100, unknown command;", b"what?;"])
def test_probe_refuses_who_does_not_know_the_limits(answer: bytes) -> None:
    asked = (HELLO[2][0], answer)
    with pytest.raises(AnswerError):
        probed(Script([asked, asked]))


def test_rubbish_is_refused_with_an_error_of_the_link() -> None:
    clock = ScriptedClock()
    samples = [b"193.1000;", b"ERR 100, unknown command;", b"191.1,196.1,12,6,15;", b";"]
    for answer in rubbish(samples, 10_000, seed=2000):
        script = Script([(b"POW? 1,1,1;", answer), (b"POW? 1,1,1;", b"")])
        script.clock = clock
        link: Link = script.link(chatty=True)
        link.attach("test", lambda: None)
        try:
            values = CobriteDialogue(link, clock).numbers("POW? 1,1,1", 1)
        except (AnswerError, LinkError, RefusedError):
            continue
        assert len(values) == 1
        assert np.isfinite(values[0])
