"""Benches of twins: which boxes there are, the files that point to them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.bench import BenchFile, load_bench, parse_bench
from drivers.errors import ConfigurationError
from drivers.settings_files import parse_toml
from sim_backend.wire.twin_bench import TwinBench, TwinSet, with_scene

BENCHES = Path(__file__).resolve().parents[4] / "examples" / "benches"
SERVER = (BENCHES / "lab-server.toml").read_text(encoding="utf-8")
CLIENT = (BENCHES / "lab-client.toml").read_text(encoding="utf-8")


def bench(text: str) -> BenchFile:
    return parse_bench(parse_toml(text, "bench file x"), "bench file x", text=text)


def test_set_has_one_twin_per_box_and_all_roles_on_one_scene() -> None:
    twins = TwinSet((bench(SERVER), bench(CLIENT)))
    roles = [role for box in twins.boxes for role in box.roles.values()]
    assert len(roles) == len(set(roles)) == 17
    (shared,) = [box for box in twins.boxes if len(box.roles) > 1]
    assert dict(shared.roles) == {1: "server.attenuator", 5: "server.launch_power_meter"}
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
        (box,) = [box for box in served.boxes if "server.laser" in box.roles.values()]
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
