"""Reading a bench file: what is accepted, and what every mistake is answered with."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.bench import check_together, load_bench, parse_bench
from drivers.errors import ConfigurationError
from tests.unit.drivers.bench.paper_bench import client_table, server_table

WHERE = "bench file paper.toml"


def _error(table: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_bench(table, WHERE)
    return str(caught.value)


def _set(table: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    place: Any = table
    for section in sections:
        place = place[int(section)] if isinstance(place, list) else place.setdefault(section, {})
    if value is None:
        del place[key]
    else:
        place[key] = value


def test_parse_bench_gives_entries_in_the_order_of_the_light_when_complete() -> None:
    table = server_table()
    table["instruments"]["laser"]["serial"] = "7"
    table["instruments"]["laser"]["settings"] = {"linewidth_hz": 1e4}
    file = parse_bench(dict(reversed(table.items())), WHERE)
    assert list(file.entries())[:4] == ["laser", "weight_generator", "weight_bias", "attenuator"]
    laser = file.entries()["laser"]
    assert (laser.bench, laser.party, laser.role, laser.serial) == (
        "paper server",
        "server",
        "laser",
        "7",
    )
    assert laser.settings == {"linewidth_hz": 1e4}
    assert (file.name, file.party, file.simulated) == ("paper server", "server", True)
    assert (file.missing(), file.unprotected()) == ((), ())
    assert file.content.frame.sample_rate_hz == 800e6


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "bench.parti",
            "server",
            "unknown key bench.parti; did you mean bench.party?",
        ),
        ("bench.name", None, "bench.name is missing; it has no default"),
        (
            "bench.party",
            "sever",
            "bench.party is 'sever'; input should be 'server' or 'client'",
        ),
        (
            "instruments.laser.adress",
            "x",
            "unknown key instruments.laser.adress; did you mean instruments.laser.address?",
        ),
        (
            "instruments.lasser",
            {"model": "laser", "backend": "sim", "address": "x"},
            "unknown role instruments.lasser for the server of a passive-tap bench with own "
            "oscillator; did you mean instruments.laser?",
        ),
        (
            "instruments.attenuator",
            None,
            "instruments.attenuator is missing, of kind Attenuator: down to few photons; has the "
            "shutter; write [instruments.attenuator]",
        ),
        (
            "instruments.laser.address",
            "sim://attenuator",
            "instruments.attenuator.address 'sim://attenuator' is also that of "
            "instruments.laser; every role needs an instrument of its own, or another channel "
            "of the same box",
        ),
        (
            "instruments.laser.backend",
            "visa",
            "instruments.laser.backend is 'visa', but that of instruments."
            "oscillator_power_meter is 'sim'; a bench is simulated as a whole or not at all",
        ),
        (
            "scene",
            None,
            "scene is missing: there are instruments of backend 'sim'; write [scene] with the "
            "name of a scene",
        ),
        (
            "safety.ceiling_fraction",
            0.6,
            "safety.ceiling_fraction is 0.6; input should be less than or equal to 0.5",
        ),
        (
            "safety.settle_s",
            float("nan"),
            "safety.settle_s is nan; input should be a finite number",
        ),
        (
            "safety.settle_ms",
            10.0,
            "unknown key safety.settle_ms; did you mean safety.settle_s?",
        ),
        (
            "safety.detectors.return_digitiser",
            None,
            "safety.detectors.return_digitiser is missing: light can harm instruments."
            "return_digitiser; give its damage_w and every way of light to it",
        ),
        (
            "safety.detectors.return_digitiser.damage_dbm",
            3.0,
            "unknown key safety.detectors.return_digitiser.damage_dbm; did you mean "
            "safety.detectors.return_digitiser.damage_w?",
        ),
        (
            "safety.detectors.return_digitiser.light.0.source",
            "lazer",
            "safety.detectors.return_digitiser.light.0.source: 'lazer' is no Laser of this bench; "
            "did you mean laser?",
        ),
        (
            "safety.detectors.return_digitiser.light.0.through",
            ["laser"],
            "safety.detectors.return_digitiser.light.0.through: 'laser' is no Attenuator or "
            "Switch or OpticalAmplifier of this bench; known are attenuator, return_switch",
        ),
        (
            "safety.detectors.return_digitiser.light.0.source",
            "incoming",
            "safety.detectors.return_digitiser.light.0.power_dbm_max is needed for incoming light",
        ),
        (
            "safety.detectors.return_digitiser.light.0.power_dbm_max",
            3.0,
            "safety.detectors.return_digitiser.light.0.power_dbm_max is not for lasers",
        ),
        (
            "safety.monitors.return_digitiser",
            {"source": "laser", "loss_db": 1.0},
            "safety.monitors.return_digitiser: 'return_digitiser' is no PowerMeter of this bench; "
            "known are launch_power_meter, oscillator_power_meter",
        ),
        (
            "frame.pilot_spacing",
            1,
            "frame.pilot_spacing is 1; input should be greater than or equal to 2",
        ),
        (
            "frame.symbol_rate",
            1e8,
            "unknown key frame.symbol_rate; did you mean frame.symbol_rate_hz?",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)
def test_parse_bench_names_path_and_remedy_when_a_file_is_wrong(
    path: str, value: Any, message: str
) -> None:
    table = server_table()
    _set(table, path, value)
    assert _error(table) == f"{WHERE}: {message}"


def test_parse_bench_refuses_an_oscillator_laser_when_the_laser_is_shared() -> None:
    table = server_table()
    table["bench"]["oscillator"] = "shared"
    assert "unknown role instruments.return_oscillator for the server" in _error(table)


def test_parse_bench_needs_mesh_and_amplifier_when_the_receiver_is_an_amplifier() -> None:
    table = client_table()
    assert {"mesh_driver", "amplifier"} <= set(parse_bench(table, WHERE).entries())
    table["bench"]["receiver"] = "passive-tap"
    assert "unknown role instruments.mesh_driver" in _error(table)


def test_parse_bench_shows_what_is_missing_when_it_need_not_be_complete() -> None:
    table = server_table()
    del table["instruments"]["attenuator"]
    del table["safety"]["detectors"]["return_digitiser"]
    file = parse_bench(table, WHERE, complete=False)
    assert (file.missing(), file.unprotected()) == (("attenuator",), ("return_digitiser",))


def test_load_bench_keeps_the_text_when_it_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    text = '[bench]\nname = "plan"\nparty = "client"\n[instruments]\n'
    path.write_text(text, encoding="utf-8")
    assert load_bench(path, complete=False).text == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory; check the path, or start from a file "),
        (b"[bench", "is not valid TOML: Expected ']' at the end of a table declaration"),
        (b"\xff", "is not valid TOML: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b"#" * ((1 << 20) + 1), "is larger than 1048576 bytes; it is no bench file"),
    ],
    ids=["absent", "no table", "no text", "large"],
)
def test_load_bench_says_why_when_a_file_cannot_be_read(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bench.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_bench(path)
    assert str(caught.value).startswith(f"bench file {path} {message}")


def _pair(change: Callable[[dict[str, Any]], None]) -> str:
    tables = [server_table(), client_table()]
    tables[0]["bench"] |= {"receiver": "amplifier", "receiver_setting": 2.0}
    for role, entry in tables[1]["instruments"].items():
        entry["address"] = f"sim://client/{role}"
    change(tables[1])
    first, second = (
        parse_bench(copy.deepcopy(table), f"bench file {table['bench']['party']}.toml")
        for table in tables
    )
    try:
        check_together([first, second])
    except ConfigurationError as error:
        return str(error)
    return ""


def test_check_together_passes_when_two_parties_fit() -> None:
    assert _pair(lambda table: None) == ""


def test_check_together_names_both_files_when_they_share_an_address() -> None:
    def share(table: dict[str, Any]) -> None:
        table["instruments"]["oscillator"]["address"] = "sim://laser"

    assert _pair(share) == (
        "bench file client.toml: instruments.oscillator.address 'sim://laser' is also that of "
        "instruments.laser in bench file server.toml; an instrument belongs to one bench"
    )


def test_check_together_names_both_values_when_the_bursts_differ() -> None:
    assert _pair(lambda table: table.update(frame={"pilot_spacing": 4})) == (
        "bench file client.toml: frame.pilot_spacing is 4, but 6 in bench file server.toml; both "
        "parties must agree"
    )


@pytest.mark.parametrize(
    ("twin", "said", "watched"),
    [(False, None, True), (False, False, False), (True, None, False), (True, True, True)],
    ids=["real", "real without", "twin", "twin with"],
)
def test_bench_is_watched_when_it_is_real_or_its_file_says_so(
    twin: bool, said: bool | None, watched: bool
) -> None:
    table = server_table()
    if said is not None:
        table["safety"]["watchdog"] = said
    assert not parse_bench(table, "bench file a.toml").watched  # simulated in this process
    del table["scene"]
    table["bench"]["twin"] = twin
    for entry in table["instruments"].values():
        entry["backend"] = "visa"
    assert parse_bench(table, "bench file a.toml").watched is watched


def test_check_together_refuses_a_real_bench_beside_a_simulated_one() -> None:
    def real(table: dict[str, Any]) -> None:
        del table["scene"]
        for entry in table["instruments"].values():
            entry["backend"] = "visa"

    def twin(table: dict[str, Any]) -> None:
        real(table)
        table["bench"]["twin"] = True

    where = "in bench file server.toml; no light goes from one to the other, use two files of the"
    for change, kind in ((real, "real"), (twin, "one of twins")):
        message = f"bench file client.toml: the bench is {kind}, but simulated {where} same kind"
        assert _pair(change) == message


def test_check_together_refuses_two_files_of_the_same_party() -> None:
    file = parse_bench(server_table(), "bench file a.toml")
    table = server_table()
    for role, entry in table["instruments"].items():
        entry["address"] = f"sim://other/{role}"
    with pytest.raises(ConfigurationError, match=r"'server', as in bench file a.toml; give one"):
        check_together([file, parse_bench(table, "bench file b.toml")])
