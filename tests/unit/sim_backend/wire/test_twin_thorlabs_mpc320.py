"""The twin of the Thorlabs MPC320 in its exact bytes."""

import math
import struct

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.instruments import SimulatedBench
from sim_backend.scene.polarisation import (
    PolarisationController,
    PolarisationControllerSettings,
    retarder,
)
from sim_backend.wire.session import Session
from sim_backend.wire.twins.thorlabs_mpc320 import ThorlabsMPC320Twin
from tests.wire.raw import rubbish

ENABLE_ALL = bytes.fromhex("10 02 07 01 50 01")
MOVE_1_TO_685 = bytes.fromhex("53 04 06 00 D0 01 01 00 AD 02 00 00")
FULL_SPEED = bytes.fromhex("30 05 0C 00 D0 01 00 00 64 00 00 00 19 00 19 00 19 00")
COUNT_RAD = math.radians(170) / 1370


def lit() -> tuple[SimulatedBench, ThorlabsMPC320Twin, Session]:
    bench = SimulatedBench()
    twin = ThorlabsMPC320Twin(
        clock=bench.clock, serial="SIM7", controller=bench.scene.client_polarisation
    )
    return bench, twin, twin.session()


def said(session: Session, data: bytes | str) -> bytes:
    session.feed(bytes.fromhex(data) if isinstance(data, str) else data)
    return session.take()


def position(session: Session, mask: int) -> int:
    answer = said(session, bytes((0x90, 0x04, mask, 0x00, 0x50, 0x01)))
    assert answer[:7] == bytes.fromhex("91 04 0E 00 81 50") + bytes([mask])
    return int(struct.unpack("<i", answer[8:12])[0])


def move(mask: int, counts: int) -> bytes:
    return bytes.fromhex("53 04 06 00 D0 01") + struct.pack("<Hi", mask, counts)


def test_twin_holds_the_worked_dialogue() -> None:
    bench, _, session = lit()
    assert said(session, "23 02 01 00 50 01") == b""
    assert said(session, "10 02 01 01 50 01") == b""
    assert said(session, "11 02 01 00 50 01") == bytes.fromhex("12 02 01 01 01 50")
    assert said(session, "43 04 01 00 50 01") == b""
    bench.clock.sleep(0.1)
    assert session.take() == bytes.fromhex("44 04 01 00 01 50")
    assert said(session, MOVE_1_TO_685) == b""
    bench.clock.sleep(1.0)
    at_685 = bytes.fromhex("91 04 0E 00 81 50 01 00 AD 02 00 00 00 00 00 00 00 05 00 80")
    assert session.take() == at_685  # the sheet's row, with the bit for connected
    assert said(session, "90 04 01 00 50 01") == at_685
    assert said(session, "92 04 00 00 50 01") == b""
    information = said(session, "05 00 00 00 50 01")
    assert information[:6] == bytes.fromhex("06 00 54 00 81 50")
    assert len(information) == 90
    assert information[10:18] == b"MPC320\0\0"
    assert said(session, "31 05 00 00 50 01") == bytes.fromhex(
        "32 05 0C 00 81 50 00 00 32 00 00 00 19 00 19 00 19 00"
    )
    assert said(session, FULL_SPEED) == b""
    assert said(session, "31 05 00 00 50 01")[8:10] == b"\x64\x00"


def test_twin_replaces_the_mask_of_enabled_paddles() -> None:
    _, _, session = lit()
    said(session, "10 02 02 01 50 01")
    said(session, "10 02 01 01 50 01")
    assert said(session, "11 02 02 00 50 01") == bytes.fromhex("12 02 02 02 01 50")
    assert said(session, "11 02 01 00 50 01") == bytes.fromhex("12 02 01 01 01 50")
    said(session, "10 02 00 01 50 01")
    assert said(session, "11 02 01 00 50 01") == bytes.fromhex("12 02 01 02 01 50")


@pytest.mark.parametrize(
    "order",
    [move(1, 685), move(2, 1371), move(2, -1), move(3, 100), "43 04 01 00 50 01"],
    ids=["disabled", "above", "below", "two paddles", "disabled home"],
)
def test_twin_is_silent_and_unmoved_when_it_cannot_move(order: bytes | str) -> None:
    bench, twin, session = lit()
    said(session, "10 02 02 01 50 01")
    assert said(session, order) == b""
    bench.clock.sleep(3.0)
    assert session.take() == b""
    assert [paddle.counts for paddle in twin.paddles] == [0, 0, 0]


def test_twin_turns_with_its_velocity_and_shows_that_it_moves() -> None:
    bench, _, session = lit()
    said(session, ENABLE_ALL + move(4, 1370))
    bench.clock.sleep(0.2)  # half of 400 degrees/s: 40 degrees
    answer = said(session, "90 04 04 00 50 01")
    counts, velocity, current, bits = struct.unpack("<ihhI", answer[8:20])
    assert counts == round(40 / COUNT_RAD * math.pi / 180)
    assert velocity != 0
    assert current != 0
    assert bits & 0x80000010 == 0x80000010
    said(session, FULL_SPEED)
    bench.clock.sleep(0.1)
    assert position(session, 4) == round(80 * 1370 / 170)
    said(session, "65 04 04 02 50 01")
    bench.clock.sleep(1.0)
    assert position(session, 4) == round(80 * 1370 / 170)


def test_twin_rotates_the_light_as_wave_plates_do() -> None:
    bench, _, session = lit()
    controller = bench.scene.client_polarisation
    degrees = (85.0, 33.0, 141.0)
    said(session, ENABLE_ALL)
    for index, angle in enumerate(degrees):
        said(session, move(1 << index, round(angle * 1370 / 170)))
    bench.clock.sleep(3.0)
    wanted = np.eye(2, dtype=np.complex128)
    for retardance, angle in zip((math.pi / 2, math.pi, math.pi / 2), degrees, strict=True):
        wanted = retarder(retardance, math.radians(angle)) @ wanted
    # The same up to a phase; a count is 2 mrad.
    assert abs(np.trace(wanted.conj().T @ controller.matrix())) == pytest.approx(2, abs=1e-4)


def test_twin_ends_a_jog_with_a_short_message_and_a_relative_move_with_its_status() -> None:
    bench, _, session = lit()
    said(session, ENABLE_ALL)
    said(session, "6A 04 02 01 50 01")
    bench.clock.sleep(0.5)
    assert session.take() == bytes.fromhex("64 04 02 00 01 50")
    assert position(session, 2) == 25
    said(session, bytes.fromhex("48 04 06 00 D0 01") + struct.pack("<Hi", 2, -5))
    bench.clock.sleep(0.5)
    assert session.take()[:12] == bytes.fromhex("91 04 0E 00 81 50 02 00 14 00 00 00")


def test_twin_tells_its_status_unasked_until_nobody_acknowledges() -> None:
    bench, _, session = lit()
    said(session, "11 00 00 00 50 01")
    heard = 0
    for _ in range(100):
        bench.clock.sleep(0.1)
        heard += len(session.take())
    assert 40 * 60 <= heard <= 52 * 60
    said(session, "11 00 00 00 50 01")
    bench.clock.sleep(0.2)
    assert len(session.take()) == 60
    said(session, "12 00 00 00 50 01")
    bench.clock.sleep(0.2)
    assert session.take() == b""


def test_twin_answers_messages_that_come_in_pieces_and_forgets_what_is_left_of_one() -> None:
    bench, _, session = lit()
    for byte in ENABLE_ALL + bytes.fromhex("11 02 04 00 50 01"):
        session.feed(bytes([byte]))
    assert session.take() == bytes.fromhex("12 02 04 01 01 50")
    session.feed(b"\x53\x04\x06")
    bench.clock.sleep(1.0)
    assert said(session, "11 02 04 00 50 01") == bytes.fromhex("12 02 04 01 01 50")


def test_twin_refuses_a_scene_with_too_few_retarders() -> None:
    controller = PolarisationController(PolarisationControllerSettings(channels=2))
    with pytest.raises(ConfigurationError, match="has 2 retarders; the twin of the MPC320 needs"):
        ThorlabsMPC320Twin(clock=SimulatedBench().clock, serial="SIM", controller=controller)


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    bench, _, session = lit()
    good = [ENABLE_ALL, MOVE_1_TO_685, FULL_SPEED, bytes.fromhex("90 04 01 00 50 01")]
    answered = 0
    for message in rubbish(good, 10_000, seed=3):
        session.feed(message)
        # After half a second it forgets a frame that is not whole: a damaged length would
        # swallow all that follows.
        bench.clock.sleep(0.6)
        answered += bool(session.take())
    assert answered > 1000
    bench.clock.sleep(6.0)
    session.take()
    said(session, "12 00 00 00 50 01")
    assert said(session, ENABLE_ALL + bytes.fromhex("11 02 04 00 50 01")).endswith(
        bytes.fromhex("12 02 04 01 01 50")
    )
