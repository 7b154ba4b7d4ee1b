"""Benches of twins: which boxes there are, the files that point to them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.bench import BenchFile, load_bench, parse_bench
from drivers.errors import ConfigurationError
from drivers.settings_files import parse_toml
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.twin_bench import TwinBench, TwinSet, with_scene
from sim_backend.wire.twins.red_pitaya import RedPitayaTwin

BENCHES = Path(__file__).resolve().parents[4] / "examples" / "benches"
SERVER = (BENCHES / "lab-server.toml").read_text(encoding="utf-8")
CLIENT = (BENCHES / "lab-client.toml").read_text(encoding="utf-8")


def bench(text: str) -> BenchFile:
    return parse_bench(parse_toml(text, "bench file x"), "bench file x", text=text)


def test_set_has_one_twin_per_box_and_all_roles_on_one_scene() -> None:
    twins = TwinSet((bench(SERVER), bench(CLIENT)))
    roles = [role for box in twins.boxes for role in box.roles]
    assert len(roles) == len(set(roles)) == 17
    (shared,) = [box for box in twins.boxes if len(box.roles) > 1]
    assert shared.roles == ("server.attenuator", "server.launch_power_meter")
    assert all(box.serial.startswith("SIM") for box in twins.boxes)
    assert len({box.serial for box in twins.boxes}) == len(twins.boxes)


def test_bench_writes_files_that_differ_in_addresses_and_marks_alone() -> None:
    with TwinBench((bench(SERVER), bench(CLIENT)), speed=20.0) as served:
        texts = served.texts()
        for text, before in zip(texts, (SERVER, CLIENT), strict=True):
            file = bench(text)
            assert file.simulated
            assert not file.in_process
            assert file.content.bench.twin_speed == 20.0
            changed = [line for line in text.splitlines() if line not in before.splitlines()]
            assert all(line.startswith(("address = ", "twin")) for line in changed)
        # A file of twins can be served again: marks and addresses are replaced, not doubled.
        again = served.texts()
        assert again == texts
    with TwinBench(tuple(bench(text) for text in texts)) as once_more:
        assert once_more.texts()[0].count("twin = true") == 1


def test_serial_number_of_the_file_becomes_that_of_the_twin() -> None:
    numbered = SERVER.replace(
        'address = "/dev/serial/by-id/laser"', 'address = "/dev/serial/by-id/laser"\nserial = "42"'
    )
    with TwinBench((bench(numbered), bench(CLIENT))) as served:
        (box,) = [box for box in served.boxes if "server.laser" in box.roles]
        assert bench(served.texts()[0]).entries()["laser"].serial == box.serial


def test_bench_refuses_an_address_that_it_cannot_replace() -> None:
    inline = SERVER.replace(
        '[instruments.laser]\nmodel = "Pure Photonics PPCL550"\nbackend = "serial"\n'
        'address = "/dev/serial/by-id/laser"\n',
        '[instruments.laser]\nmodel = "Pure Photonics PPCL550"\nbackend = "serial"\n'
        '"address" = "/dev/serial/by-id/laser"\n',
    )
    assert inline != SERVER
    with (
        TwinBench((bench(inline), bench(CLIENT))) as served,
        pytest.raises(ConfigurationError, match=r"instruments\.laser\.address could not be"),
    ):
        served.texts()


def test_set_refuses_what_is_simulated_without_a_wire() -> None:
    files = [load_bench(BENCHES / name) for name in ("server.toml", "client.toml")]
    with pytest.raises(ConfigurationError, match=r"instruments\.laser is simulated without a wire"):
        TwinSet(files)


def test_set_refuses_two_models_at_one_address_that_are_not_in_one_box() -> None:
    mixed = SERVER.replace('model = "Keysight N7752A power meter"', 'model = "Keysight N7744A"')
    with pytest.raises(ConfigurationError, match="Keysight N7744A and Keysight N7752A, which are"):
        TwinSet((bench(mixed), bench(CLIENT)))


def test_set_takes_the_faults_of_the_scene() -> None:
    fault = "[[scene.parameters.faults]]\nkind = 'laser-unlock'\ntarget = 'laser'\nsize = 10.0\n"
    texts = [text.replace("[safety]", f"{fault}\n[safety]", 1) for text in (SERVER, CLIENT)]
    twins = TwinSet(tuple(bench(text) for text in texts))
    (found,) = twins.scene.faults.faults  # type: ignore[attr-defined]
    assert found.target == "laser"


def test_files_without_a_scene_get_the_usual_one() -> None:
    file = bench(SERVER)
    bare = replace(file, content=file.content.model_copy(update={"scene": None}))
    (complete,) = with_scene((bare,))
    assert complete.content.scene is not None
    assert complete.content.scene.name == "reference"


def test_input_and_output_of_one_box_may_have_the_same_number() -> None:
    text = SERVER
    for role, model in (
        ("weight_generator", "Red Pitaya STEMlab 125-14 outputs"),
        ("return_digitiser", "Red Pitaya STEMlab 125-14 inputs LV"),
    ):
        begin = text.index(f"[instruments.{role}]")
        end = text.index("[", begin + 1)
        section = (
            f'[instruments.{role}]\nmodel = "{model}"\nbackend = "visa"\n'
            'address = "TCPIP::192.168.10.20::5000::SOCKET"\nchannel = 1\n\n'
        )
        text = text[:begin] + section + text[end:]
    twins = TwinSet((bench(text), bench(CLIENT)))
    (board,) = [box for box in twins.boxes if box.original.startswith("TCPIP::192.168.10.20")]
    assert board.roles == ("server.weight_generator", "server.return_digitiser")
    generator = twins.scene.part("server", "weight_generator")
    digitiser = twins.scene.part("server", "return_digitiser")
    assert isinstance(generator, GeneratorPart)
    assert isinstance(digitiser, DigitiserPart)
    assert isinstance(board.twin, RedPitayaTwin)
    played, recorded = board.twin.outputs[1].part, board.twin.acquisition.parts[1]
    assert played is not None
    assert played.unit is generator.unit
    assert recorded.unit is digitiser.unit


def test_bench_file_refuses_two_roles_of_one_kind_on_one_channel() -> None:
    text = SERVER.replace("channel = 5", "channel = 1").replace(
        'model = "Keysight N7752A power meter"', 'model = "Keysight N7744A"'
    )
    twice = text.replace("TCPIP::192.168.10.16", "TCPIP::192.168.10.12")
    with pytest.raises(ConfigurationError, match="or another channel of the same box"):
        bench(twice)
