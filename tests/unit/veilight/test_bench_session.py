"""Opening both parties' benches: what is refused, and that whatever happens ends in the dark."""

from pathlib import Path

import pytest

import veilight
import veilight.bench_session
from drivers.bench import Bench, BenchFile, LightPlan, ModelRegistry
from drivers.errors import ConfigurationError, OutputError, SafetyError
from drivers.instruments import Laser
from veilight.bench_session import (
    default_store,
    open_pair,
    pair_name,
    routines_of,
    settings_for,
    store_of,
)
from veilight.benches import build_benches, load_benches

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"
SERVER, CLIENT = EXAMPLES / "server.toml", EXAMPLES / "client.toml"
PLAN = LightPlan(power_w={"laser": 10e-3, "return_oscillator": 2e-3})


def _changed(folder: Path, source: Path, *changes: tuple[str, str]) -> Path:
    text = source.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / source.name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("paths", "given"),
    [([], "none"), ([SERVER], r"server.toml \(server\)"), ([CLIENT], r"client.toml \(client\)")],
    ids=["none", "server", "client"],
)
def test_open_pair_refuses_when_a_party_has_no_file(paths: list[Path], given: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=f"given: .*{given}; name both parties' files"),
        open_pair(paths),
    ):
        pytest.fail("opened")


def test_open_pair_refuses_when_the_files_say_different_frames(tmp_path: Path) -> None:
    client = tmp_path / "client.toml"
    client.write_text(CLIENT.read_text(encoding="utf-8") + "\n[frame]\npilot_photons = 900.0\n")
    with (
        pytest.raises(ConfigurationError, match=r"pilot_photons is 900.0, but 2000.0 in .*agree"),
        open_pair([SERVER, client]),
    ):
        pytest.fail("opened")


def test_open_pair_refuses_when_light_would_be_real_and_nobody_said_so(tmp_path: Path) -> None:
    server, client = _real(tmp_path, SERVER), _real(tmp_path, CLIENT)
    both = "simulated server, simulated client"
    with (
        pytest.raises(SafetyError, match=rf"^{both}: real .* then say --emit-light$"),
        open_pair([server, client]),
    ):
        pytest.fail("opened")
    # With the word it goes on, to models that no driver has.
    with (
        pytest.raises(ConfigurationError, match="'simulated laser', which backend 'visa' does not"),
        open_pair([server, client], emit_light=True),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize("emit_light", [False, True])
def test_open_pair_refuses_when_only_one_bench_is_real(tmp_path: Path, emit_light: bool) -> None:
    with (
        pytest.raises(ConfigurationError, match="the bench is simulated, but real in bench file"),
        open_pair([_real(tmp_path, SERVER), CLIENT], emit_light=emit_light),
    ):
        pytest.fail("opened")


def _real(folder: Path, source: Path) -> Path:
    """A copy whose instruments are no simulations."""
    text = source.read_text(encoding="utf-8").replace('backend = "sim"', 'backend = "visa"')
    path = folder / source.name
    before, scene, after = text.partition("[scene]")
    path.write_text(before + after[after.index("[safety]") :] if scene else text)
    return path


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_open_pair_ends_in_the_dark_when_something_happens_in_the_light(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    dark: list[bool] = []
    made_safe = Bench.close

    def close(bench: Bench) -> None:
        made_safe(bench)
        dark.append(not any(instrument.is_open for instrument in bench.instruments.values()))

    monkeypatch.setattr(Bench, "close", close)

    def run() -> None:
        with open_pair([CLIENT, SERVER], operator="tester") as pair:
            laser = pair.server.get("laser", Laser)
            pair.server.safety.switch_on(PLAN)
            assert laser.emission()
            monkeypatch.setattr(laser, "_close", lambda: dark.append(not laser._get_emission()))
            raise error

    with pytest.raises(error):
        run()
    assert dark == [True, True, True]


def test_pair_makes_the_other_bench_safe_when_one_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_pair([SERVER, CLIENT]) as pair:
        pair.server.safety.switch_on(PLAN)
        laser = pair.server.get("laser", Laser)

        def fail(reason: str) -> None:
            raise SafetyError(f"stuck during {reason}")

        with monkeypatch.context() as patch:
            patch.setattr(pair.client, "make_safe", fail)
            with pytest.raises(SafetyError, match="stuck during a test"):
                pair.make_safe("a test")
        assert not laser.emission()


def test_pair_name_is_of_both_benches_in_any_order() -> None:
    assert pair_name(load_benches([CLIENT, SERVER])) == "simulated server and simulated client"


def test_default_store_is_beside_the_servers_file_in_any_order() -> None:
    expected = EXAMPLES / "server.calibration.h5"
    assert default_store([SERVER, CLIENT]) == default_store([CLIENT, SERVER]) == expected
    assert default_store([CLIENT]) == EXAMPLES / "client.calibration.h5"
    with pytest.raises(ConfigurationError, match="no bench file is given; name both"):
        default_store([])


def test_store_of_refuses_when_the_folder_is_absent(tmp_path: Path) -> None:
    assert store_of(tmp_path / "a.h5", "bench").bench == "bench"
    with pytest.raises(OutputError, match=r"there is no folder .*absent; make it"):
        store_of(tmp_path / "absent" / "a.h5", "bench")


def test_settings_for_takes_what_the_files_say_and_no_more(tmp_path: Path) -> None:
    setting = ("receiver_setting = 0.1", "receiver_setting = 0.2")
    frame = ("[safety]\n", "[frame]\npilot_photons = 900.0\nsamples_per_symbol = 8\n[safety]\n")
    server = _changed(tmp_path, SERVER, setting, frame)
    client = _changed(tmp_path, CLIENT, setting, frame)
    with open_pair([server, client]) as pair:
        registry = routines_of(pair)
        found = settings_for(registry, pair)
    assert set(found) == set(registry.names)
    assert found["loss"]["tap_fraction"] == 0.2
    assert found["loss"]["pilot_photons"] == 900.0
    for name, settings in found.items():
        assert set(settings) <= set(registry.get(name).defaults)


def test_open_pair_builds_both_from_one_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def build(
        files: tuple[BenchFile, ...], registry: ModelRegistry | None = None
    ) -> tuple[Bench, ...]:
        seen.append(len(files))
        return build_benches(files, registry)

    monkeypatch.setattr(veilight.bench_session, "build_benches", build)
    with open_pair([SERVER, CLIENT]) as pair:
        assert pair.server.clock is pair.client.clock
        assert pair.access.simulated
    assert seen == [2]
