"""The twin of the Amonics AEDFA in its exact bytes."""

import math

import pytest

from sim_backend.instruments.parts import AmplifierPart
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.wire.catalogue import make_twin
from sim_backend.wire.session import Session, TwinPlace
from sim_backend.wire.twins.amonics_aedfa import AmonicsTwin
from tests.wire.raw import rubbish


class Rig:
    """An amplifier of the scene, seeded or not."""

    def __init__(self, *, seed_w: float = 1e-5, **own: object) -> None:
        bench = SimulatedAmplifierBench()
        found = bench.part("client", "amplifier")
        assert isinstance(found, AmplifierPart)
        self.clock = bench.clock
        self.seed_w = seed_w
        self.part = AmplifierPart(found.model, seed_w=lambda: self.seed_w)
        self.twin = AmonicsTwin(clock=self.clock, amplifier=self.part, **own)  # type: ignore[arg-type]
        self.session: Session = self.twin.session()

    def said(self, text: str, *, end: str = "\r\n") -> str:
        self.session.feed(f"{text}{end}".encode())
        self.clock.sleep(0.05)
        return self.session.take().decode()

    def pumped(self) -> bool:
        return self.part.pump_on

    def switch_on(self, current_ma: float) -> None:
        for order in (f":DRIV:ACC:CUR:CH1 {current_ma}", ":DRIV:ACC:STAT:CH1 1", ":DRIV:MCTRL 1"):
            assert self.said(order) == ""
        self.clock.sleep(2.0)


def test_twin_holds_the_worked_dialogue() -> None:
    rig = Rig()
    assert rig.said(":READ:MODE:NAMES?") == "ACC\r\n"
    assert rig.said(":MODE:SW:CH1 ACC") == ""
    assert rig.said(":READ:DRIV:MAX:ACC:CH1?") == "4.000000e+02\r\n"
    assert rig.said(":DRIV:ACC:CUR:CH1 100") == ""
    assert rig.said(":DRIV:ACC:STAT:CH1 1") == ""
    assert rig.said(":DRIV:MCTRL 1") == ""
    assert rig.said(":DRIV:MCTRL?") == "2\r\n"
    rig.clock.sleep(1.0)
    assert rig.said(":DRIV:MCTRL?") == "1\r\n"
    output_mw = float(rig.said(":SENS:POW:OUT:CH1?"))
    gain = 10 ** (24 * (1 - math.exp(-60 / 150)) / 10)
    assert output_mw == pytest.approx(rig.part.output_power_w() * 1e3, rel=1e-5)
    assert output_mw > gain * 1e-2


@pytest.mark.parametrize("end", ["\r\n", "\n", " \n"])
def test_twin_takes_all_ends_of_lines(end: str) -> None:
    assert Rig().said(":CAL:SYS:MODEL?", end=end) == "AEDFA-PA-30-B-FA\r\n"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (":READ:CH:DRIV:ACC?", "1.000000e+00"),
        (":READ:CH:DRIV:APC?", "0.000000e+00"),
        (":READ:CH:CUR?", "1.000000e+00"),
        (":READ:CH:POW:IN?", "1.000000e+00"),
        (":READ:CH:TEMP:BOX?", "1.000000e+00"),
        (":READ:CH:VOLT:PS?", "1.000000e+00"),
        (":READ:DRIV:UNIT:ACC:CH1?", "mA"),
        (":READ:DRIV:MIN:ACC:CH1?", "0.000000e+00"),
        (":READ:DRIV:STEP:ACC:CH1?", "1.000000e-01"),
        (":CAL:SYS:SERIAL?", "SIM1"),
        (":MODE:SW:CH1?", "ACC"),
        (":DRIV:ACC:CUR:CH1?", "0.000000e+00"),
        (":DRIV:ACC:STAT:CH1?", "0"),
        (":DRIV:SEED_ST?", "1"),
        (":DRIV:INTERLOCK?", "0"),
        (":SENS:CUR:CH1?", "0.000000e+00"),
        (":SENS:POW:IN:CH1?", "1.000000e-02"),
        (":SENS:TEMP:BOX?", "2.800000e+01"),
        (":SENS:VOLT:PS?", "5.000000e+00"),
        (":SENS:THRES:ALARM:POW:IN:LOS:CH1?", "0"),
        (":SENS:THRES:ALARM:CUR:OVER:LATCH?", "0"),
    ],
)
def test_twin_answers_every_query(query: str, answer: str) -> None:
    assert Rig().said(query) == f"{answer}\r\n"


@pytest.mark.parametrize(
    "text",
    [
        ":FOO?",
        "",
        "?",
        ":DRIV:ACC:CUR:CH1 400.1",
        ":DRIV:ACC:CUR:CH1 -1",
        ":DRIV:ACC:CUR:CH1 x",
        ":DRIV:ACC:CUR:CH1 nan",
        ":DRIV:APC:CUR:CH1 5",
        ":MODE:SW:CH1 APC",
        ":DRIV:MCTRL 2",
        ":SENS:THRES:ALARM:FOO?",
    ],
)
def test_twin_is_silent_and_stays_when_it_cannot(text: str) -> None:
    rig = Rig()
    rig.said(":DRIV:ACC:CUR:CH1 50")
    assert rig.said(text) == ""
    assert rig.said(":DRIV:ACC:CUR:CH1?") == "5.000000e+01\r\n"
    assert rig.said(":DRIV:MCTRL?") == "0\r\n"


def test_amplifier_of_the_scene_is_pumped_by_the_current() -> None:
    rig = Rig()
    rig.switch_on(100)
    assert rig.pumped()
    assert rig.part.gain_db() == pytest.approx(24 * (1 - math.exp(-60 / 150)))
    rig.said(":DRIV:ACC:CUR:CH1 400")
    assert rig.part.gain_db() == rig.part.model.settings.highest_gain_db
    rig.said(":DRIV:MCTRL 0")
    assert not rig.pumped()
    assert rig.said(":SENS:CUR:CH1?") == "0.000000e+00\r\n"


def test_constant_power_holds_the_output_when_the_seed_changes() -> None:
    rig = Rig(modes=("ACC", "APC"))
    for order in (":MODE:SW:CH1 APC", ":DRIV:APC:CUR:CH1 0.1", ":DRIV:APC:STAT:CH1 1"):
        rig.said(order)
    rig.said(":DRIV:MCTRL 1")
    rig.clock.sleep(2.0)
    assert rig.part.gain_db() == pytest.approx(10.0, abs=0.2)
    rig.seed_w = 2e-5
    rig.clock.sleep(0.2)
    assert rig.part.gain_db() == pytest.approx(7.0, abs=0.2)


def test_interlock_locks_until_it_is_closed_and_unlocked() -> None:
    rig = Rig()
    rig.switch_on(100)
    rig.twin.open_interlock()
    assert not rig.pumped()
    assert rig.said(":DRIV:ACC:STAT:CH1?") == "4\r\n"
    assert rig.said(":DRIV:MCTRL?") == "0\r\n"
    rig.said(":THRES:INTERLOCK:UNLOCK 1")
    assert rig.said(":DRIV:ACC:STAT:CH1?") == "4\r\n"
    rig.twin.open_interlock(False)
    rig.switch_on(100)
    assert not rig.pumped()
    rig.said(":THRES:INTERLOCK:UNLOCK 1")
    rig.switch_on(100)
    assert rig.pumped()


def test_master_switch_before_the_stage_is_a_fault() -> None:
    rig = Rig()
    rig.said(":DRIV:MCTRL 1")
    assert rig.said(":DRIV:ACC:STAT:CH1?") == "4\r\n"


def test_lost_seed_is_an_alarm_that_stays_latched() -> None:
    rig = Rig()
    rig.switch_on(100)
    rig.seed_w = 0.0
    rig.clock.sleep(1.0)
    assert rig.said(":SENS:THRES:ALARM:POW:IN:LOS:CH1?") == "1\r\n"
    rig.seed_w = 1e-5
    assert rig.said(":SENS:THRES:ALARM:POW:IN:LOS:CH1?") == "0\r\n"
    assert rig.said(":SENS:THRES:ALARM:POW:IN:LOS:CH1:LATCH?") == "1\r\n"


def test_twin_misses_the_first_orders_to_switch_when_it_is_deaf() -> None:
    rig = Rig(deaf=1)
    rig.said(":DRIV:ACC:STAT:CH1 1")
    assert rig.said(":DRIV:ACC:STAT:CH1?") == "0\r\n"
    rig.said(":DRIV:ACC:STAT:CH1 1")
    assert rig.said(":DRIV:ACC:STAT:CH1?") == "1\r\n"


def test_twin_has_the_gains_that_the_bench_file_says_were_measured() -> None:
    bench = SimulatedAmplifierBench()
    part = bench.part("client", "amplifier")
    assert isinstance(part, AmplifierPart)
    settings = {1: {"gain_table": "60 mA = 0 dB, 160 mA = 10 dB"}}
    place = TwinPlace(clock=bench.clock, serial="SIM7", parts={1: part}, settings=settings)
    session = make_twin("Amonics AEDFA", place).session()
    session.feed(b":DRIV:ACC:CUR:CH1 90\r\n:DRIV:ACC:STAT:CH1 1\r\n:DRIV:MCTRL 1\r\n")
    bench.clock.sleep(2.0)
    assert part.gain_db() == pytest.approx(3.0)


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    rig = Rig()
    good = [b":DRIV:ACC:CUR:CH1 100\r\n", b":DRIV:MCTRL?\r\n", b":READ:DRIV:MAX:ACC:CH1?\r\n"]
    for message in rubbish(good, 10_000, seed=9):
        rig.session.feed(message)
    rig.clock.sleep(1.0)
    rig.session.take()
    rig.said("")
    assert rig.said(":CAL:SYS:SERIAL?") == "SIM1\r\n"
