"""The twin of the Keysight N776x attenuators: the data sheet's dialogue, byte by byte."""

import math

import pytest

from drivers.detectors.keysight_n7744a import METER_LIMITS, KeysightN7744A
from drivers.path.keysight_n776x import KeysightN776x
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import PowerPart
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.keysight_n776x import MAKERS, KeysightN776xTwin
from tests.wire.keysight_n776x import LIMITS, rig
from tests.wire.raw import hear, rubbish

EMPTY = b'-303,"Empty slot (StatSlotEmpty)"\n'
TOO_LARGE = b'-222,"Data out of range (StatParmTooLarge)"\n'


class Rig:
    """An N7752A, of which the first attenuator and the first input are in a scene."""

    def __init__(self) -> None:
        self.bench = SimulatedBench()
        self.clock = self.bench.clock
        self.part = self.bench.scene.launch_attenuator
        sensor = self.bench.part("server", "launch_power_meter")
        assert isinstance(sensor, PowerPart)
        self.twin = KeysightN776xTwin(
            model="N7752A",
            clock=self.clock,
            serial="SIM02",
            attenuators={1: self.part},
            sensors={5: sensor},
        )
        self.session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    assert rig.hear(b":OUTP1 OFF\n:INP1:WAV 1550E-9\n:INP1:ATT 10\n:OUTP1 ON\n") == b""
    assert rig.hear(b"*OPC?\n") == b"0\n"
    rig.clock.advance(1.0)
    assert rig.hear(b"*OPC?\n") == b"1\n"
    assert rig.hear(b":INP1:ATT?\n") == b"+1.00000000E+001\n"
    assert rig.hear(b":INP1:ATT 99\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == TOO_LARGE
    assert rig.hear(b":INP1:ATT?\n") == b"+1.00000000E+001\n"
    assert rig.hear(b":SYST:ERR?\n") == b'+0,"No error"\n'


def test_box_lists_two_slots_for_every_attenuator() -> None:
    rig = Rig()
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7752A,SIM02,1.22\n"
    assert rig.hear(b"*OPT?\n") == b"N7752A,  ,N7752A,  ,N7752A,N7752A\n"
    assert rig.hear(b":SLOT2:IDN?\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == EMPTY


@pytest.mark.parametrize(
    "order", [b":INP2:ATT 1", b":OUTP4 ON", b":INP5:ATT 1", b":SENS1:POW:UNIT 1"]
)
def test_slot_without_such_a_module_is_empty(order: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b";:SYST:ERR?\n") == EMPTY


def test_filter_travels_at_the_set_speed() -> None:
    rig = Rig()
    rig.hear(b":INP1:ATT:SPE 10;:INP1:ATT 0;:OUTP1 ON\n")
    rig.clock.advance(60.0)
    rig.hear(b":INP1:ATT 40\n")
    for _ in range(200):
        rig.clock.advance(0.01)
    # 10 dB/s for 2 s, less the lag of the scene's own filter.
    assert rig.part.attenuation_db() == pytest.approx(20.0, abs=0.5)
    assert rig.hear(b":SLOT1:OPC?;:SLOT3:OPC?\n") == b"0;1\n"
    rig.clock.advance(2.5)
    assert rig.hear(b":SLOT1:OPC?\n") == b"1\n"
    rig.clock.advance(0.5)
    assert rig.part.attenuation_db() == pytest.approx(40.0, abs=1e-3)


def test_shutter_closes_at_once_and_opens_from_the_dark() -> None:
    rig = Rig()
    rig.hear(b":INP1:ATT 0;:INP1:ATT:SPE 80;:OUTP1 ON\n")
    assert rig.part.shutter_open
    assert rig.part.transmission() < 1e-6
    rig.clock.advance(2.0)
    rig.clock.advance(0.5)
    assert rig.part.transmission() > 0.5
    assert rig.hear(b":OUTP1?;:STAT1:OPER:COND?\n") == b"1;+16\n"
    rig.hear(b":OUTP1 OFF\n")
    assert rig.part.transmission() < 1e-6
    assert rig.hear(b":OUTP1?;:STAT1:OPER:COND?;:READ1:POW?\n") == b"0;+0;-1.20000000E+000\n"
    rig.clock.advance(0.2)
    assert rig.hear(b":READ1:POW?\n") == b"-8.12000000E+001\n"


def test_offset_shifts_what_is_shown_and_not_the_filter() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON;:INP1:ATT 10;:INP1:OFFS 4\n")
    rig.clock.advance(2.0)
    rig.clock.advance(0.5)
    assert rig.hear(b":INP1:ATT?\n") == b"+1.40000000E+001\n"
    assert rig.part.attenuation_db() == pytest.approx(10.0, abs=1e-6)
    assert rig.hear(b":INP1:OFFS:DISP;:INP1:ATT?;:INP1:OFFS?\n").startswith(b"+0.00000000E+000;-1")


def test_power_control_holds_the_output_and_says_where_it_cannot() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON;:OUTP1:POW:CONTR ON;:OUTP1:POW -20 DBM\n")
    rig.clock.advance(2.0)
    assert rig.hear(b":READ1:POW?\n") == b"-2.00000000E+001\n"
    assert rig.hear(b":OUTP1:POW:UN 1;:OUTP1:POW?\n") == b"+1.00000000E-005\n"
    assert rig.hear(b":STAT1:QUES:COND?\n") == b"+0\n"
    rig.hear(b":OUTP1:POW 100MW\n")
    assert rig.hear(b":STAT1:QUES:COND?\n") == b"+1\n"
    rig.hear(b":INP1:ATT 3\n")
    assert rig.hear(b":OUTP1:POW:CONTR?\n") == b"0\n"


def test_all_forms_reach_every_attenuator() -> None:
    rig = Rig()
    rig.hear(b":INP:ATT:ALL 7;:INP:WAV:ALL 1560NM;:OUTP:STAT:ALL ON\n")
    assert rig.hear(b":INP3:ATT?;:INP1:ATT?;:INP3:WAV?;:OUTP1?;:OUTP3?\n") == (
        b"+7.00000000E+000;+7.00000000E+000;+1.56000000E-006;1;1\n"
    )


def test_zeroing_closes_all_attenuators_meanwhile() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON\n")
    rig.clock.advance(3.0)
    rig.hear(b":OUTP:CORR:COLL:ZERO\n")
    shut = not rig.part.shutter_open
    assert shut
    assert rig.hear(b":SLOT3:OPC?\n") == b"0\n"
    rig.clock.advance(2.1)
    opened_again = rig.part.shutter_open
    assert opened_again
    assert rig.hear(b"*OPC?;:OUTP:CORR:COLL:ZERO?\n") == b"1;0\n"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b":INP1:WAV? MIN", b"+1.26000000E-006"),
        (b"inp1:wavelength? max", b"+1.64000000E-006"),
        (b":INPUT1:ATTENUATION? MAX", b"+4.50000000E+001"),
        (b":outp1:apow?", b"0"),
        (b":OUTP1:POW:UN?", b"0"),
    ],
)
def test_query_is_answered_in_the_spelling_of_others(query: bytes, answer: bytes) -> None:
    assert Rig().hear(query + b"\r\n") == answer + b"\n"


def test_reset_closes_everything() -> None:
    rig = Rig()
    rig.hear(b":OUTP1 ON;:INP1:ATT 20\n")
    rig.hear(b"*RST\n")
    assert not rig.part.shutter_open
    assert rig.hear(b":OUTP1?;:INP1:ATT?\n") == b"0;+0.00000000E+000\n"


def test_rubbish_never_raises_and_the_box_still_answers() -> None:
    rig = Rig()
    samples = [
        b":INP1:ATT 10;:INP1:ATT?;:SYST:ERR?\n",
        b":OUTP1:POW:UN 1;:OUTP1:POW 1E-3W;:OUTP1:POW?\n",
        b":OUTP1 ON;:INP1:OFFS:POW 5,1;:OUTP1:POW:CONTR ON\n",
        b":READ1:POW?;:STAT1:OPER:COND?;:SENS5:POW:ATIM 1MS\n",
    ]
    for message in rubbish(samples, 10_000, seed=776):
        rig.hear(message)
    rig.hear(b"\n*RST;*CLS\n")
    rig.clock.advance(20.0)  # readings that were asked for hold up the answers behind them
    rig.session.take()
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7752A,SIM02,1.22\n"


def test_roles_of_one_box_have_the_same_maker() -> None:
    assert MAKERS["Keysight N7752A"] is MAKERS["Keysight N7752A power meter"]
    assert MAKERS["Keysight N7752A"] is not MAKERS["Keysight N7764A"]


def test_two_drivers_share_one_link_and_see_the_same_light() -> None:
    bench = SimulatedBench()
    link = rig(bench)
    voa = KeysightN776x("voa", limits=LIMITS, link=link, clock=bench.clock, channel=3)
    meter = KeysightN7744A(
        "m", limits=METER_LIMITS, link=link, clock=bench.clock, channel=5, models="N7752A"
    )
    with voa, meter:
        bench.scene.server_laser.set_emission(True)
        bench.clock.advance(20.0)
        voa.set_attenuation_db(10.0)
        voa.set_shutter(True)
        before_w = bench.scene.idle_power_w("launch")
        # The monitor is before the attenuator; its sensor reads 1 % too much.
        seen_w = bench.scene.idle_power_w("launch_monitor")
        assert meter.power_w() == pytest.approx(seen_w, rel=0.02)
        voa.set_attenuation_db(20.0)
        ratio = before_w / bench.scene.idle_power_w("launch")
        assert 10 * math.log10(ratio) == pytest.approx(10.0, abs=0.05)
    assert not bench.scene.launch_attenuator.shutter_open
    assert not link.is_open


def test_maker_takes_the_parts_of_the_place() -> None:
    bench = SimulatedBench()
    part = bench.scene.launch_attenuator
    place = TwinPlace(clock=bench.clock, serial="SIM3", parts={7: part})
    hear(MAKERS["Keysight N7764A"](place).session(), b":OUTP7 ON\n")
    assert part.shutter_open
