"""The twin of the Keysight N773x switches: the data sheet's dialogue, byte by byte."""

import pytest

from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.path import LightSwitch, SwitchSettings
from sim_backend.wire.session import Session, TwinPlace
from sim_backend.wire.twins.keysight_n773x import MAKERS, KeysightN773xTwin
from tests.wire.raw import hear, rubbish

REFUSED = b'-220,"Parameter error (StatParamError)"\n'


class Rig:
    """A box with two switches, of which the first is in a scene."""

    def __init__(self, model: str = "N7731A") -> None:
        self.clock = SimulatedClock()
        self.part = LightSwitch(SwitchSettings(), clock=self.clock)
        self.twin = KeysightN773xTwin(
            model=model, clock=self.clock, serial="SIM07", switches={1: self.part}, lit={1: 2}
        )
        self.session: Session = self.twin.session()

    def hear(self, data: bytes) -> bytes:
        return hear(self.session, data)


def test_dialogue_of_the_sheet_is_answered_byte_by_byte() -> None:
    rig = Rig()
    assert rig.hear(b":ROUT1 A,2\n") == b""
    assert rig.hear(b"*OPC?\n") == b"0\n"
    rig.clock.advance(0.011)
    assert rig.hear(b"*OPC?\n") == b"1\n"
    assert rig.hear(b":ROUT1?\n") == b"A,2\n"
    assert rig.hear(b":ROUT1 A,9\n") == b""
    assert rig.hear(b":SYST:ERR?\n") == REFUSED
    assert rig.hear(b":SYST:ERR?\n") == b'+0,"No error"\n'
    assert rig.hear(b":ROUT1?\n") == b"A,2\n"


def test_light_of_the_scene_follows_the_lit_output() -> None:
    rig = Rig()
    assert rig.part.selected() == "blocked"
    rig.hear(b":ROUT1 A,2\n")
    assert rig.part.selected() == "light"
    rig.hear(b"*RST\n")
    assert rig.part.selected() == "blocked"


@pytest.mark.parametrize(
    "spelling",
    [
        b":ROUT1 A,2\n",
        b"rout1:chan1 a,2\r\n",
        b":ROUTE A, 2\n",
        b"*CLS;:ROUTe1:CHANnel1 A,2;*WAI\n",
    ],
)
def test_spellings_of_others_are_taken(spelling: bytes) -> None:
    rig = Rig()
    assert rig.hear(spelling) == b""
    assert rig.hear(b":rout?;:syst:err?\n") == b'A,2;+0,"No error"\n'


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (b":ROUT1 B,1", REFUSED),
        (b":ROUT1 A", REFUSED),
        (b":ROUT1 A,0", REFUSED),
        (b":ROUT1 A,one", REFUSED),
        (b":ROUT3 A,1", b'-303,"Empty slot (StatSlotEmpty)"\n'),
        (b":ROUTS1 A,1", b'-113,"Undefined header"\n'),
    ],
)
def test_order_is_refused_and_changes_nothing(order: bytes, answer: bytes) -> None:
    rig = Rig()
    assert rig.hear(order + b"\n") == b""
    assert rig.hear(b":ROUT1?\n") == b"A,1\n"
    assert rig.hear(b":SYST:ERR?\n") == answer


def test_query_that_nobody_understands_is_silent() -> None:
    assert Rig().hear(b":FOO?\n") == b""


def test_configuration_lists_inputs_and_outputs() -> None:
    rig = Rig("N7734A")
    assert rig.hear(b":ROUT1:CONF?\n") == b"A,A;1,13\n"
    assert rig.hear(b":ROUT1:CONF:ROUT?\n").count(b".") == 12
    assert rig.hear(b"*OPT?\n") == b"N7734A\n"


def test_pieces_of_a_message_are_put_together() -> None:
    rig = Rig()
    heard = b"".join(rig.hear(bytes([one])) for one in b":ROUT1 A,2\n:ROUT1?\n")
    assert heard == b"A,2\n"


def test_sessions_share_the_switch() -> None:
    rig = Rig()
    rig.hear(b":ROUT2 A,3\n")
    assert hear(rig.twin.session(), b":ROUT2?\n") == b"A,3\n"


def test_rubbish_never_raises_and_the_box_still_answers() -> None:
    rig = Rig()
    for message in rubbish([b":ROUT1 A,2\n", b"*OPC?;:SYST:ERR?\n"], 10_000, seed=773):
        rig.hear(message)
    rig.hear(b"\n*CLS\n")
    assert rig.hear(b"*IDN?\n") == b"Keysight Technologies,N7731A,SIM07,1.22\n"


def test_maker_takes_parts_and_lit_output_from_the_place() -> None:
    clock = SimulatedClock()
    part = LightSwitch(SwitchSettings(), clock=clock)
    place = TwinPlace(clock=clock, serial="SIM1", parts={1: part}, settings={1: {"light": 3}})
    session = MAKERS["Keysight N7732A"](place).session()
    hear(session, b":ROUT1 A,3\n")
    assert part.selected() == "light"
