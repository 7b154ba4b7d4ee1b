"""The key bench.detection: what homodyne needs, and what both files must say alike."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.bench import check_together, parse_bench
from drivers.bench.roles import roles_of
from drivers.errors import ConfigurationError
from drivers.instruments import PhaseDriver

EXAMPLES = Path(__file__).parents[4] / "examples" / "benches"
PHASES = {"server": "return_phase", "client": "tap_phase"}


def table(party: str, kind: str = "homodyne") -> dict[str, Any]:
    text = (EXAMPLES / f"{kind}-{party}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize("party", ["server", "client"])
def test_homodyne_bench_has_a_phase_shifter_and_needs_it(party: str) -> None:
    file = parse_bench(table(party), "bench file a.toml")
    role = file.roles[PHASES[party]]
    assert role.required
    assert role.kind is PhaseDriver
    assert PHASES[party] in file.entries()
    without = table(party)
    del without["instruments"][PHASES[party]]
    with pytest.raises(ConfigurationError, match=f"instruments.{PHASES[party]} is missing"):
        parse_bench(without, "bench file a.toml")


@pytest.mark.parametrize("party", ["server", "client"])
def test_heterodyne_bench_has_no_phase_shifter(party: str) -> None:
    assert PHASES[party] not in roles_of(
        "server" if party == "server" else "client", "passive-tap", "shared"
    )
    other = table(party)
    other["bench"]["detection"] = "heterodyne"
    with pytest.raises(ConfigurationError, match=f"unknown role instruments.{PHASES[party]}"):
        parse_bench(other, "bench file a.toml")


@pytest.mark.parametrize(
    ("key", "value"), [("oscillator", "own"), ("receiver", "feed-forward-tap")]
)
def test_homodyne_is_refused_without_one_laser_and_the_tap(key: str, value: str) -> None:
    wrong = table("server")
    wrong["bench"][key] = value
    with pytest.raises(ConfigurationError, match=r"detection is 'homodyne'.*'passive-tap' and a"):
        parse_bench(wrong, "bench file a.toml")


def test_homodyne_is_refused_with_an_intermediate_frequency() -> None:
    wrong = table("server")
    del wrong["frame"]["cycles_per_symbol"]
    with pytest.raises(ConfigurationError, match="write cycles_per_symbol = 0"):
        parse_bench(wrong, "bench file a.toml")


def test_detection_is_refused_when_it_is_unknown() -> None:
    wrong = table("server")
    wrong["bench"]["detection"] = "direct"
    with pytest.raises(ConfigurationError, match=r"bench\.detection"):
        parse_bench(wrong, "bench file a.toml")


def test_check_together_refuses_parties_of_different_detection() -> None:
    client = copy.deepcopy(table("client", "shared-laser"))
    client["frame"] = table("server")["frame"]
    files = [
        parse_bench(table("server"), "bench file server.toml"),
        parse_bench(client, "bench file client.toml"),
    ]
    with pytest.raises(ConfigurationError, match=r"bench\.detection is 'heterodyne'"):
        check_together(files)
