"""Making benches safe from the text of their files, as the watchdog does."""

from pathlib import Path

import pytest

import veilight
import veilight.benches
from drivers.bench import Bench, parse_bench
from drivers.bench.watchdog import Watchdog, WatchdogSpec
from drivers.bench.watchdog_spec import SAFE_BY_FILES
from drivers.settings_files import parse_toml
from tests.unit.drivers.bench.paper_bench import Paper, client_table, paper_bench, server_table
from veilight.benches import (
    build_benches,
    load_benches,
    make_safe_one_by_one,
    safe_by_files,
    watchdog_for,
)

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"


def _texts(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, (EXAMPLES / name).read_text(encoding="utf-8")) for name in names)


def test_safe_by_files_opens_and_closes_every_instrument_pumps_before_their_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, _, name = SAFE_BY_FILES.partition(":")
    assert getattr(veilight.benches, name) is safe_by_files
    assert module == "veilight.benches"
    safe: list[str] = []
    usual = make_safe_one_by_one

    def noted(bench: Bench) -> dict[str, str]:
        safe.append(bench.file.party)
        return usual(bench)

    monkeypatch.setattr(veilight.benches, "make_safe_one_by_one", noted)
    assert safe_by_files(_texts("amplifier-server.toml", "amplifier-client.toml")) == {}
    assert safe == ["client", "server"]


def test_safe_by_files_goes_on_when_a_file_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, text),) = _texts("server.toml")
    monkeypatch.setattr(veilight.benches, "make_safe_one_by_one", lambda bench: {"laser": "dead"})
    found = safe_by_files([("a.toml", "broken"), ("b.toml", text)])
    assert list(found) == ["a.toml", "simulated server: laser"]
    assert "a.toml is not valid TOML" in found["a.toml"]
    assert found["simulated server: laser"] == "dead"


@pytest.mark.parametrize("error", [OSError, SystemError])
def test_make_safe_one_by_one_tries_all_others_whatever_one_raises(error: type[Exception]) -> None:
    paper = Paper(fail={"laser._open", "attenuator._set_shutter"}, error=error)
    bench = paper_bench(server_table(), paper)
    failures = make_safe_one_by_one(bench)
    assert sorted(failures) == ["attenuator", "laser"]
    assert "no answer to _set_shutter" in failures["attenuator"]
    assert {call.partition(".")[0] for call in paper.calls} == set(bench.instruments)
    assert not any(instrument.is_open for instrument in bench.instruments.values())


def test_simulated_benches_have_no_watchdog() -> None:
    assert watchdog_for(load_benches([EXAMPLES / "server.toml", EXAMPLES / "client.toml"])) is None
    paper = Paper()
    with paper_bench(client_table(), paper) as bench:
        bench.safety.rearm("operator")


def test_real_benches_share_a_watchdog_with_the_strictest_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for (name, text), safety in zip(
        _texts("server.toml", "client.toml"),
        ("watchdog_timeout_s = 30.0\nhang_s = 90.0", "watchdog_timeout_s = 20.0\nhang_s = 120.0"),
        strict=True,
    ):
        before, scene, after = text.partition("[scene]")
        real = before + after[after.index("[safety]") :] if scene else text
        real = real.replace('backend = "sim"', 'backend = "visa"')
        real = real.replace("[safety]\n", f"[safety]\n{safety}\n", 1)
        files.append(parse_bench(parse_toml(real, name), name, text=real))
    told: list[tuple[float, float, float, tuple[str, ...]]] = []

    def noted(spec: WatchdogSpec, interval_s: float, timeout_s: float) -> Watchdog:
        told.append((spec.hang_s, interval_s, timeout_s, tuple(where for where, _ in spec.files)))
        return Watchdog(spec, interval_s=interval_s, timeout_s=timeout_s)

    monkeypatch.setattr("veilight.benches.Watchdog", noted)
    watchdog = watchdog_for(files)
    assert told == [(90.0, 4.0, 20.0, ("server.toml", "client.toml"))]
    assert watchdog is not None
    # It finds what makes benches safe by itself, far from here.
    monkeypatch.chdir(tmp_path)
    watchdog.hold("a", lambda _: None)
    watchdog.require_fresh()
    watchdog.let_go("a", safe=True)


def test_build_benches_makes_no_watchdog_for_a_registry_of_the_callers() -> None:
    files = load_benches([EXAMPLES / "server.toml", EXAMPLES / "client.toml"])
    for bench in build_benches(files):
        with bench:
            bench.make_safe("a test")
            # A bench that needs a watchdog refuses this without one.
            bench.safety.rearm("operator")
            assert not bench.safety.is_latched
