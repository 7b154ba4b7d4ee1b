"""The twin of the OZ Optics DD-100-MC in its exact bytes."""

import itertools

import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import Session
from sim_backend.wire.twins.ozoptics_dd100 import OZOpticsDD100Twin
from tests.wire.raw import rubbish

END = b"Done\r\n\r\n"


class Rig:
    """The attenuator of the scene."""

    def __init__(self, *, homed: bool = True) -> None:
        bench = SimulatedBench()
        self.clock = bench.clock
        self.part = bench.scene.launch_attenuator
        self.twin = OZOpticsDD100Twin(clock=self.clock, attenuator=self.part)
        self.session: Session = self.twin.session()
        if homed:
            self.said(b"H\r\n", 10.0)

    def said(self, data: bytes, wait_s: float = 4.0) -> bytes:
        self.session.feed(data)
        self.clock.sleep(wait_s)
        return self.session.take()


def test_twin_holds_the_worked_dialogue() -> None:
    rig = Rig(homed=False)
    assert rig.said(b"E0\r\n") == END
    assert rig.said(b"H\r\n", 10.0) == b"Diff=0\r\n" + END
    assert b"\r\nIL:0.80\r\nMAX ATTEN:60.00\r\n" in rig.said(b"CD\r\n")
    moved = rig.said(b"A10.00\r\n")
    position = moved.removeprefix(b"Pos:").split(b"\r\n")[0]
    assert moved == b"Pos:" + position + b"\r\n" + END
    assert rig.said(b"D\r\n") == b"DPos:" + position + b"\r\nATTEN:10.00\r\n" + END
    assert rig.said(b"X9\r\n") == b"Error-2\r\n" + END


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"A20", b"Pos:"),
        (b"A20.5\r\nA?", b"Atten:20.50(dB)"),
        (b"S100", b"Pos:100"),
        (b"S100\r\nS+20", b"Pos:120"),
        (b"S100\r\nS-20", b"Pos:80"),
        (b"S100\r\nF", b"Pos:101"),
        (b"S100\r\nB", b"Pos:99"),
        (b"S?", b"Pos:0"),
        (b"A?", b"Atten:0.80(dB)"),
        (b"L1.5\r\nA?", b"Atten:1.50(dB)"),
        (b"RST", b"DD-100 restarted"),
    ],
)
def test_twin_takes_all_commands_with_either_end(text: bytes, answer: bytes) -> None:
    for end in (b"\r\n", b"\r"):
        said = Rig().said(text.replace(b"\r\n", end) + end, 12.0)
        last = said.split(b"Done")[-2].strip()
        assert last.startswith(answer)


@pytest.mark.parametrize(
    "text", [b"A0.79", b"A60.01", b"Ax", b"A", b"S1501", b"S-1", b"B", b"L60", b"W", b"", b"foo"]
)
def test_twin_says_error_and_stays_when_it_cannot(text: bytes) -> None:
    rig = Rig()
    assert rig.said(text + b"\r\n") == b"Error-2\r\n" + END
    assert rig.twin.attenuation_db() == pytest.approx(0.8)


def test_position_is_unknown_and_nothing_moves_before_it_was_home() -> None:
    rig = Rig(homed=False)
    assert rig.said(b"A?\r\n") == b"Atten:unknown\r\n" + END
    assert rig.said(b"A10\r\n") == b"Error-5\r\n" + END
    assert rig.twin.attenuation_db() == pytest.approx(60.0)


def test_answer_comes_when_the_motor_has_arrived() -> None:
    rig = Rig()
    assert rig.said(b"A40\r\n", 0.1) == b""
    assert 0.8 < rig.twin.attenuation_db() < 40
    assert rig.said(b"", 4.0).endswith(END)
    assert rig.twin.attenuation_db() == pytest.approx(40.0, abs=0.05)


def test_light_passes_through_all_values_in_between() -> None:
    rig = Rig()
    assert rig.part.shutter_open
    rig.session.feed(b"A60\r\n")
    seen = []
    for _ in range(40):
        rig.clock.sleep(0.1)
        seen.append(rig.part.attenuation_db())
    assert all(one <= later for one, later in itertools.pairwise(seen))
    assert len({round(one, 1) for one in seen}) > 20
    assert seen[-1] == pytest.approx(59.2, abs=0.01)


def test_echo_comes_before_the_answer_when_it_is_on() -> None:
    rig = Rig()
    rig.said(b"E1\r\n")
    assert rig.said(b"A?\r\n") == b"A?\r\nAtten:0.80(dB)\r\n" + END


def test_answer_before_is_repeated_when_asked_for() -> None:
    rig = Rig()
    before = rig.said(b"A10\r\n")
    assert rig.said(b"RES?\r\n") == before


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    rig = Rig()
    good = [b"A10.00\r\n", b"S+100\r\n", b"CD\r\n", b"H\r\n"]
    for message in rubbish(good, 10_000, seed=9):
        rig.session.feed(message)
    rig.clock.sleep(60.0)
    rig.session.take()
    rig.said(b"\r\n")
    assert rig.said(b"CD\r\n").endswith(END)
