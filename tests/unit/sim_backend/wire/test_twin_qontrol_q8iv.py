"""The twin of the Qontrol Q8iv in its exact bytes."""

import numpy as np
import pytest

from sim_backend.instruments.parts import PhasePart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.wire.catalogue import make_twin
from sim_backend.wire.session import Session, TwinPlace
from sim_backend.wire.twins.qontrol_q8iv import QontrolTwin
from tests.wire.raw import rubbish


class Bench:
    """A chain of two modules on time of its own."""

    def __init__(self, **own: object) -> None:
        self.clock = SimulatedClock()
        given = {"modules": 2, "serial": "0123"} | own
        self.twin = QontrolTwin(clock=self.clock, **given)  # type: ignore[arg-type]
        self.session: Session = self.twin.session()

    def said(self, data: bytes) -> bytes:
        self.session.feed(data)
        self.clock.sleep(0.1)
        return self.session.take()


def test_twin_holds_the_worked_dialogue() -> None:
    bench = Bench(modules=1)
    assert bench.said(b"id?\n") == b"Q8iv-0123\n"
    assert bench.said(b"nupall?\n") == b"Q8iv-0123:0\n"
    assert bench.said(b"vfull?\n") == b"+12.000 V\n"
    assert bench.said(b"imax3=15\n") == b"OK\n"
    assert bench.said(b"v3=6.0\n") == b"OK\n"
    assert abs(float(bench.said(b"v3?\n").removesuffix(b" V\n")) - 6.0) < 0.002
    assert abs(float(bench.said(b"i3?\n").removesuffix(b" mA\n")) - 6.0) < 0.01
    assert bench.said(b"v99=1\n") == b"E12:99\n"
    assert bench.said(b"foo\n") == b"E10:00\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"V3=6.0\n", b"OK\n"),
        (b"VVEC0=1,2.5,3\n", b"OK\n"),
        (b"vVEC14=1,2\r\n", b"OK\n"),
        (b"vVEC15=1,2\n", b"E12:16\n"),
        (b"ifull?\n", b"24 mA\n"),
        (b"nchan?\n", b"16\n"),
        (b"nup=0\n", b"OK\n"),
        (b"nup?\n", b"Q8iv-0123:0\nQ8iv-01231:8\n"),
        (b"NUPALL?\n", b"Q8iv-0123:0\nQ8iv-01231:8\n"),
        (b"Vall?\n", b"+0.000 V\n" * 16),
        (b"vipall?\n", b"+0.000 V, +0.00 mA, +0.00 mW\n" * 16),
        (b"vmax3?\n", b"+12.000 V\n"),
        (b"v3=x\n", b"E11:03\n"),
        (b"v3=nan\n", b"E11:03\n"),
        (b"v3=\n", b"E11:03\n"),
        (b"v3=1,2\n", b"E11:03\n"),
        (b"v3=12.1\n", b"E11:03\n"),
        (b"\n", b"E10:00\n"),
    ],
)
def test_twin_takes_all_forms_of_text(text: bytes, answer: bytes) -> None:
    assert Bench().said(text) == answer


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        ("81 00 00 00 03 7F FF", {3: 6.0}),
        ("82 00 00 00 00 00 02 15 55 2A AA", {0: 1.0, 1: 2.0}),
        ("91 00 00 01 02 7F FF", {10: 6.0}),
        ("A0 00 00 00 00 15 55", dict.fromkeys(range(16), 1.0)),
    ],
    ids=["one", "two", "by module", "all"],
)
def test_twin_takes_frames(frame: str, wanted: dict[int, float]) -> None:
    bench = Bench()
    if frame.startswith("91"):  # an even number of ones
        frame = "90" + frame[2:]
    assert bench.said(bytes.fromhex(frame)) == b"OK\n"
    expected = np.zeros(16)
    expected[list(wanted)] = list(wanted.values())
    np.testing.assert_allclose(bench.twin.volts(), expected, atol=2e-4)


def test_twin_answers_frames_that_ask_in_text() -> None:
    bench = Bench(modules=1)
    bench.said(b"v3=2\n")
    assert bench.said(bytes.fromhex("88 01 00 00 03 00 00")) == b"+2.00 mA\n"
    assert bench.said(bytes.fromhex("A9 00 00 00 00 00 00")).count(b" V\n") == 8
    assert bench.said(bytes.fromhex("81 03 00 00 00 6A AA")) == b"OK\n"
    assert bench.said(b"imax0?\n") == b"+10.00 mA\n"


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ("80 00 00 00 03 7F FF", b"E15:01\n"),
        ("82 00 00 00 00 FF FF", b"E14:01\n"),
        ("81 00 00 01 03 7F FF", b"E12:259\n"),
        ("81 70 00 00 03 7F FF", b"E10:00\n"),
    ],
    ids=["parity", "too long", "channel", "command"],
)
def test_twin_refuses_frames(frame: str, answer: bytes) -> None:
    assert Bench().said(bytes.fromhex(frame)) == answer


def test_twin_waits_for_the_rest_of_a_frame() -> None:
    bench = Bench()
    frame = bytes.fromhex("82 00 00 00 00 00 02 15 55 2A AA")
    for place in range(len(frame) - 1):
        assert bench.said(frame[place : place + 1]) == b""
    assert bench.said(frame[-1:] + b"id?\n") == b"OK\nQ8iv-0123\n"


@pytest.mark.parametrize(("drops", "left_v"), [(True, 0.0), (False, 6.0)])
def test_output_trips_and_reports_it_when_the_load_draws_too_much(
    drops: bool, left_v: float
) -> None:
    bench = Bench(drops=drops)
    bench.said(b"v3=6\n")
    bench.twin.set_load(3, 100.0)
    assert bench.session.take() == b"E02:03\n"
    assert bench.twin.volts()[3] == pytest.approx(left_v, abs=1e-3)


def test_output_trips_when_it_is_set_beyond_its_limits() -> None:
    bench = Bench()
    bench.said(b"vmax2=3\n")
    bench.said(b"imax3=2\n")
    assert sorted(bench.said(b"v2=4\n").split(b"\n")) == [b"", b"E01:02", b"OK"]
    assert sorted(bench.said(b"v3=4\n").split(b"\n")) == [b"", b"E02:03", b"OK"]
    assert not bench.twin.volts().any()


def test_current_is_set_by_the_voltage_that_the_load_needs_up_to_the_limit() -> None:
    bench = Bench()
    bench.said(b"i3=10\n")
    assert bench.twin.volts()[3] == pytest.approx(10.0)
    bench.said(b"i3=24\n")
    assert bench.twin.volts()[3] == pytest.approx(12.0)


def test_twin_says_that_it_was_switched_on_and_forgets() -> None:
    bench = Bench(says_hello=True)
    assert bench.session.take() == b"E90:00\n"
    bench.said(b"v3=6\n")
    bench.twin.switch_off_and_on()
    assert bench.session.take() == b"E90:00\n"
    assert not bench.twin.volts().any()


def test_chain_heats_the_shifters_from_its_output_on() -> None:
    clock = SimulatedClock()
    mesh = PhasePart(Mesh(MeshSettings(ports=3), rng=np.random.default_rng(1)))
    place = TwinPlace(clock=clock, serial="SIM7", parts={8: mesh}, settings={8: {"modules": 2}})
    session = make_twin("Qontrol Q8iv", place).session()
    session.feed(b"v6=5\nv7=1\nv15=3\n")
    np.testing.assert_allclose(mesh.voltages(), [1, 0, 0, 0, 0, 0, 0, 0, 3], atol=2e-4)


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    bench = Bench()
    good = [b"v3=6.0\n", b"nupall?\n", bytes.fromhex("8200000000000215552AAA"), b"vVEC0=1,2\n"]
    for message in rubbish(good, 10_000, seed=9):
        bench.session.feed(message)
    bench.clock.sleep(1.0)
    bench.session.take()
    bench.session.feed(b"\n" * 200)
    bench.clock.sleep(1.0)
    bench.session.take()
    assert bench.said(b"id?\n") == b"Q8iv-0123\n"
