"""The twin of the CTL200 against the recorded dialogue of the controller, without a driver."""

import math
from typing import Any

import numpy as np
import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.koheron_ctl200 import MAKERS, Diode, KoheronCTL200Twin

_DIODE = Diode(thermistor_ohm=10e3, beta_k=3930.0, tuning_m_per_k=0.1e-9)


class _Host:
    """One connection."""

    def __init__(self, **own: Any) -> None:
        bench = SimulatedBench()
        self.clock = bench.clock
        self.laser = bench.scene.server_laser
        self.twin = KoheronCTL200Twin(
            clock=self.clock, serial="SIM7", laser=self.laser, diode=_DIODE, **own
        )
        self.session = self.twin.session()

    def talk(self, data: bytes) -> bytes:
        self.session.feed(data)
        self.clock.sleep(0.01)
        return self.session.take()

    def ask(self, line: str) -> str:
        """The answer without echo and prompt."""
        sent = f"{line}\r\n".encode()
        answer = self.talk(sent)
        assert answer.startswith(sent)
        assert answer.endswith(b">>")
        return answer[len(sent) : -2].decode().removesuffix("\r\n")

    def warm(self) -> "_Host":
        self.ask("tecon 1")
        self.clock.sleep(60.0)
        return self


def test_ctl200_twin_answers_as_recorded_when_used() -> None:
    host = _Host()
    assert host.talk(b"ilaser 200\r\n") == b"ilaser 200\r\n200.000\r\n>>"
    assert host.talk(b"ilaser\r\n") == b"ilaser\r\n200.000\r\n>>"
    assert host.talk(b"ilaser 150\r\n") == b"ilaser 150\r\n150.000\r\n>>"
    assert host.talk(b"lason 1\r\n") == b"lason 1\r\n1\r\n>>"
    assert host.laser.emission()
    assert host.laser.power_setpoint_w() == pytest.approx(0.2 * 0.14)
    assert host.talk(b"foo\r\n") == b"foo\r\nUnknown command\r\n>>"
    assert host.talk(b"err\r\n") == b"err\r\n10\r\n>>"
    assert host.talk(b"errclr\r\n") == b"errclr\r\nffffffff\r\n>>"
    assert host.talk(b"err\r\n") == b"err\r\n0\r\n>>"
    assert host.talk(b"lason 0\r\n") == b"lason 0\r\n0\r\n>>"
    assert not host.laser.emission()


@pytest.mark.parametrize("ending", [b"\r", b"\r\n", b"\n\r\n"])
def test_ctl200_twin_takes_a_line_when_it_ends_with_a_carriage_return(ending: bytes) -> None:
    assert _Host().talk(b"ilaser" + ending) == b"ilaser\r\n0.000\r\n>>"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("model", "CTL200-0-B-200"),
        ("modelno", "CTL200-0-B-200"),
        ("modelnumber", "CTL200-0-B-200"),
        ("version", "V0.17"),
        ("serial", "SIM7"),
        ("ilmax", "1000.000"),
        ("lmodgain 50", "50.000"),
        ("pgain", "0.001000"),
        ("brate", "115200"),
        ("ldelay 2500", "2500.000"),
        ("rtset 9000.5", "9000.500"),
        ("save", "config saved"),
        ("userdata write hello", "hello"),
        (
            "configuration",
            "0 0.000 10000.000 0.001000 0.000100 0.001000 5000.000 15000.000 -2.00 2.00",
        ),
    ],
)
def test_ctl200_twin_writes_values_as_recorded_when_asked(line: str, answer: str) -> None:
    host = _Host()
    assert host.ask(line) == answer
    assert host.ask("err") == "0"


@pytest.mark.parametrize(
    ("line", "answer", "errors"),
    [
        ("ilaser 1000.1", "0.000", "20"),
        ("ilaser -1", "0.000", "20"),
        ("ilaser nan", "0.000", "20"),
        ("ilaser 1 2", "0.000", "20"),
        ("lason 0.5", "0", "20"),
        ("pgain 0.2", "0.001000", "20"),
        ("userdata write a b", "", "20"),
        ("ILASER", "Unknown command", "10"),
    ],
)
def test_ctl200_twin_sets_an_error_bit_when_a_line_is_wrong(
    line: str, answer: str, errors: str
) -> None:
    host = _Host()
    assert host.ask(line) == answer
    assert host.ask("err") == errors


def test_ctl200_twin_holds_the_current_when_its_limit_is_lower() -> None:
    host = _Host()
    host.ask("ilaser 200")
    assert host.ask("ilmax 100") == "100.000"
    assert host.ask("ilaser") == "100.000"
    assert host.ask("ilaser 150") == "100.000"
    assert host.ask("err") == "20"


def test_ctl200_twin_gives_no_value_after_a_set_when_its_firmware_does_not() -> None:
    host = _Host(answers_sets=False)
    assert host.talk(b"ilaser 150\r\n") == b"ilaser 150\r\n>>"
    assert host.ask("ilaser") == "150.000"


def test_ctl200_twin_loses_characters_when_they_come_before_the_prompt() -> None:
    host = _Host()
    assert host.talk(b"ilaser\r\nserial\r\n") == b"ilaser\r\n0.000\r\n>>"
    assert host.ask("err") == "2"


def test_ctl200_twin_echoes_at_once_and_answers_later_when_fed_in_pieces() -> None:
    host = _Host()
    host.session.feed(b"ila")
    assert host.session.take() == b"ila"
    host.session.feed(b"ser\r")
    assert host.session.take() == b"ser\r\n"
    due_s = host.session.next_at()
    assert due_s is not None
    host.clock.sleep(due_s - host.clock.now())
    assert host.session.take() == b"0.000\r\n>>"


def test_ctl200_twin_overflows_when_a_line_never_ends() -> None:
    host = _Host()
    host.talk(b"x" * 1000)
    host.talk(b"\r\n")
    assert int(host.ask("err"), 16) & 1


def test_ctl200_twin_stays_dark_when_its_interlock_is_open() -> None:
    host = _Host()
    host.twin.interlock_closed = False
    assert host.ask("lckon 1") == "1"
    assert host.ask("lason 1") == "0"
    assert host.ask("err") == "40"
    assert not host.laser.emission()


def test_ctl200_twin_goes_dark_when_its_interlock_opens() -> None:
    host = _Host()
    host.ask("lckon 1")
    assert host.ask("lason 1") == "1"
    host.twin.interlock_closed = False
    assert host.ask("lason") == "0"
    assert host.ask("err") == "80"
    assert not host.laser.emission()


@pytest.mark.parametrize(("window", "errors"), [("rtmin 12000", "4"), ("rtmax 9000", "8")])
def test_ctl200_twin_goes_dark_when_the_thermistor_is_out_of_its_window(
    window: str, errors: str
) -> None:
    host = _Host().warm()
    host.ask("lason 1")
    host.ask(window)
    assert host.ask("lason") == "0"
    assert host.ask("err") == errors
    host.ask("tprot 0")
    assert host.ask("lason 1") == "1"


def test_ctl200_twin_follows_its_thermistor_when_the_temperature_is_moved() -> None:
    host = _Host().warm()
    assert float(host.ask("rtact")) == pytest.approx(10e3, rel=1e-5)
    wanted_ohm = 10e3 * math.exp(3930.0 * (1 / 303.15 - 1 / 298.15))
    host.ask(f"rtset {wanted_ohm:.3f}")
    assert host.laser.wavelength_setpoint_m() == pytest.approx(1550.5e-9, abs=1e-15)
    host.clock.sleep(3.0 - 0.01)
    left = (float(host.ask("rtact")) - wanted_ohm) / (10e3 - wanted_ohm)
    assert left == pytest.approx(math.exp(-1), rel=0.01)
    status = host.ask("status").split()
    assert len(status) == 8
    assert float(status[4]) == pytest.approx(float(host.ask("rtact")), rel=1e-2)


def test_ctl200_twin_shows_light_on_its_photodiode_when_lit() -> None:
    host = _Host()
    host.ask("ilaser 60")
    assert float(host.ask("iphd")) == 0.0
    host.ask("lason 1")
    host.clock.sleep(10.0)
    assert float(host.ask("iphd")) == pytest.approx(1.0, abs=1e-3)
    assert float(host.ask("vlaser")) > 0.9


def test_ctl200_twin_takes_the_diode_of_the_bench_file_when_made() -> None:
    bench = SimulatedBench()
    laser = bench.scene.server_laser
    settings = {1: {"slope_w_per_a": 0.5, "threshold_a": 0.02, "max_current_a": 0.3}}
    place = TwinPlace(clock=bench.clock, serial="SIM8", parts={1: laser}, settings=settings)
    session = MAKERS["Koheron CTL200"](place).session()
    session.feed(b"ilaser 120\r\n")
    assert laser.power_setpoint_w() == pytest.approx(0.05)
    alone = MAKERS["Koheron CTL200"](TwinPlace(clock=bench.clock, serial="SIM8", parts={}))
    alone.session().feed(b"lason 1\r\n")
    assert not laser.emission()


def test_ctl200_twin_never_raises_when_the_bytes_are_random_or_mutated() -> None:
    rng = np.random.default_rng(8)
    host = _Host()
    lines = [b"ilaser 150", b"rtset 9000", b"lason 1", b"status", b"userdata write a", b"ilmax 1e3"]
    answered = 0
    for index in range(10_000):
        data = bytearray(lines[index % len(lines)])
        if index % 3 == 0:
            data = bytearray(rng.bytes(int(rng.integers(0, 20))))
        elif index % 3 == 1:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        host.session.feed(bytes(data) + b"\r")
        host.clock.sleep(0.01)
        answered += host.session.take().endswith(b">>")
    assert answered == 10_000
