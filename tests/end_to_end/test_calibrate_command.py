"""`veilight calibrate` and `veilight infer --bench` as their users run them, simulated."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import calibration.access
import veilight
import veilight.bench_runs
import veilight.cli._infer_bench
from calibration.bench_values import BenchValues
from calibration.moment import moments
from calibration.result import Result
from calibration.routine import Context
from calibration.routines import all_routines
from calibration.store import Store
from drivers.bench import Bench, LightPlan
from drivers.instruments import Laser, WaveformGenerator
from tests.short_records import shorten_records
from veilight.bench_session import BenchPair
from veilight.cli import main

ROOT = Path(veilight.__file__).resolve().parent.parent
BENCHES = ["--bench", "server.toml", "--bench", "client.toml"]
MODEL = "digits.safetensors"
INFER = ["infer", MODEL, "--samples", "20", *BENCHES]
STORE = Path("server.calibration.h5")
PLAN = LightPlan(power_w={"laser": 10e-3}, attenuation_db={"attenuator": 40.0})


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with bench files, a model and a calibration, and what calibrating said."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("VEILIGHT_TRACEBACK", raising=False)
        _bench_files()
        train = ["train", "--hidden", "24", "--epochs", "15", "--signal-to-noise", "1,1"]
        assert main([*train, "--seed", "1", "--save", MODEL, "--json"]) == 0
        with pytest.MonkeyPatch.context() as output, Path("said.json").open("w") as said:
            output.setattr(sys, "stdout", said)
            assert main(["calibrate", "all", *BENCHES, "--plots", "plots", "--json"]) == 0
    return folder, json.loads((folder / "said.json").read_text())


@pytest.fixture
def folder(
    calibrated: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the calibrated folder, which is the present one."""
    copy = tmp_path / "copy"
    shutil.copytree(calibrated[0], copy)
    monkeypatch.chdir(copy)
    return copy


def _bench_files() -> None:
    for path in (ROOT / "examples" / "benches").glob("*.toml"):
        shutil.copy(path, ".")
    shorten_records(Path("server.toml"))


def _error(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    """The one line that a refused command says."""
    capsys.readouterr()
    assert main(list(arguments)) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("veilight: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("veilight: ").strip()


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    return json.loads(captured.out)


def _later(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """The wall clock of all benches that are opened from now on, set forward."""

    def late(clock: Any, *, clock_id: str) -> Any:
        wall = lambda: datetime.now(UTC) + timedelta(hours=hours)  # noqa: E731
        return moments(clock, clock_id=clock_id, wall=wall)

    monkeypatch.setattr(calibration.access, "moments", late)


def test_calibrate_all_measures_every_routine_and_draws_it(
    calibrated: tuple[Path, dict[str, Any]],
) -> None:
    folder, said = calibrated
    names = list(all_routines().names)
    assert [one["routine"] for one in said["outcomes"]] == names
    assert {one["status"] for one in said["outcomes"]} == {"done"}
    assert [one["routine"] for one in said["results"]] == names
    for path in said["plots"]:
        # The size of a PNG is in bytes 16 to 24; nothing is wider than three panels.
        header = (folder / path).read_bytes()[:24]
        width, height = (int.from_bytes(header[at : at + 4], "big") for at in (16, 20))
        assert 600 < width < 1800
        assert 400 < height < 1800
    assert len(said["plots"]) == len(names)


def test_calibrate_keeps_what_is_valid_and_measures_only_what_is_stale(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = _json(capsys, "calibrate", "all", *BENCHES)
    assert {one["status"] for one in again["outcomes"]} == {"fresh"}
    # After two hours: those that hold for a day stand, what aligned the light does not.
    _later(monkeypatch, 2.0)
    steps = _json(capsys, "calibrate", "all", "--dry-run", *BENCHES)["steps"]
    due = {step["routine"]: step["reasons"] for step in steps if step["due"]}
    assert {"modulators", "shot_noise", "electronic_noise"}.isdisjoint(due)
    # Seconds: two hours, and what the calibration took.
    assert due["polarisation"][0].startswith("stale: 7")
    assert "polarisation will be measured anew" in due["photons"]


def test_show_fits_80_columns_with_every_quantity_on_a_line_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilight.cli._screen.WIDTH_WITHOUT_TERMINAL", 80)
    assert main(["calibrate", "show", *BENCHES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert lines[0] == "simulated server and simulated client (simulated)"
    store = Store.at(STORE)
    for name in all_routines().names:
        found = store.latest(name)
        assert found is not None
        state = next(line for line in lines if line.split()[:1] == [name] and found.id[:12] in line)
        assert " left " in state
        for quantity in found.quantities:
            (row,) = [line for line in lines if line.split()[:1] == [quantity.name]]
            assert ("±" in row) == (quantity.uncertainty > 0)
            assert (" to " in row) == (quantity.interval95[0] < quantity.interval95[1])


def test_show_gives_everything_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _json(capsys, "calibrate", "show", "--store", str(STORE))
    assert shown["bench"] == "simulated server and simulated client"
    store = Store.at(STORE)
    assert [one["routine"] for one in shown["results"]] == list(all_routines().names)
    for one in shown["results"]:
        found = store.get(one["id"])
        assert 0 <= one["age_s"] < one["validity_s"] == found.validity_s
        assert one["simulated"] is True
        assert list(one["quantities"]) == [quantity.name for quantity in found.quantities]
    beat = _json(capsys, "calibrate", "show", "beat", *BENCHES)["results"]
    assert [one["routine"] for one in beat] == ["beat"]
    assert beat[0]["quantities"]["client_beat_hz"]["unit"] == "Hz"


def test_infer_runs_over_the_calibrated_bench_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, *INFER, "--out", "run")
    assert (found["accepted"], found["taints"], found["simulated"]) == (True, [], True)
    # A network of 24 hidden values at F^2 of 1 has 20 samples right with far more than a half.
    assert found["accuracy"] >= 0.5
    assert "TAINTED" not in Path("run/report.html").read_text(encoding="utf-8")
    assert main([*INFER, "--out", "quiet", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "clearance" not in captured.out


def test_infer_refuses_a_stale_calibration_and_taints_the_run_that_overrides(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _later(monkeypatch, 2.0)
    message = _error(capsys, 8, *INFER, "--quiet", "--out", "run", "--new-ledger", "w.db")
    assert "stale: 7" in message
    assert "run `veilight calibrate polarisation`" in message
    assert not Path("w.db").exists()
    found = _json(capsys, *INFER, "--out", "run", "--override-calibration")
    assert any("polarisation" in taint and "stale" in taint for taint in found["taints"])
    assert "TAINTED" in Path("run/report.html").read_text(encoding="utf-8")
    result = json.loads(Path("run/result.json").read_text(encoding="utf-8"))
    assert result["runs"][0]["taints"] == found["taints"]


def test_infer_notices_that_a_bench_file_changed_after_the_calibration(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("server.toml", "client.toml"):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write("\n[frame]\npilot_photons = 1500.0\n")
    message = _error(capsys, 8, *INFER, "--quiet", "--out", "run", "--new-ledger", "w.db")
    assert "made with pilot_photons 2000.0, it is 1500.0 now" in message
    assert not Path("w.db").exists()
    steps = _json(capsys, "calibrate", "all", "--dry-run", *BENCHES)["steps"]
    due = {step["routine"] for step in steps if step["due"]}
    assert "photons" in due
    assert {"modulators", "shot_noise"}.isdisjoint(due)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["calibrate", "all"], 2, "no bench file is given; name both"),
        (["calibrate", "all", *BENCHES[:2]], 2, "one bench file of the server and one of the cli"),
        (["calibrate", "beats", *BENCHES], 2, "no routine is called 'beats'; there are elec"),
        (["calibrate", "all", "beat", *BENCHES], 2, "give 'all' or names of routines, not both"),
        (["calibrate", "beat", *BENCHES, "--store", "no/s.h5"], 6, "there is no folder no; make"),
        (["calibrate", "show"], 2, "which calibrations? Give --store FILE, or --bench FILE"),
        (["calibrate", "show", "--store", "no.h5"], 2, "there is no calibration store no.h5; make"),
        (["calibrate", "show", "--store", "server.toml"], 8, "not a calibration store, or damaged"),
        (["calibrate", "beat", *BENCHES, "--store", "damaged.h5"], 8, "damaged.h5: "),
        ([*INFER, "--store", "damaged.h5", "-q"], 8, "damaged.h5: "),
        ([*INFER, "--store", "no.h5", "-q"], 8, "no calibration store"),
        ([*INFER[:4], *BENCHES[:2]], 2, "one bench file of the server and one of the client"),
        ([*INFER, "--encoding", "complex"], 2, "protocol.encoding is 'complex'; the data modula"),
        ([*INFER, "--seed", "3"], 2, "--seed is for the simulated link; with --bench"),
        ([*INFER, "--receiver", "amplifier", "--setting", "2"], 2, "--receiver is for the simul"),
        ([*INFER, "--client-behaviour", "keeps=0.5"], 2, "--client-behaviour is for the simul"),
        ([*INFER[:4], "--override-calibration"], 2, "--override-calibration needs --bench twice"),
    ],
    ids=lambda value: "-".join(value[:1] + value[-2:]) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_one_line_before_there_is_light(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    whole = bytearray(STORE.read_bytes())
    whole[len(whole) // 2] ^= 1
    Path("damaged.h5").write_bytes(whole)
    assert message in _error(capsys, status, *arguments)


def test_a_store_of_another_bench_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("server.toml").read_text(encoding="utf-8")
    Path("server.toml").write_text(text.replace('"simulated server"', '"other"', 1))
    for command in (["calibrate", "beat", *BENCHES], [*INFER, "--override-calibration", "-q"]):
        assert "the store of bench 'simulated server and simulated client', not of 'other" in (
            _error(capsys, 8, *command)
        )


def test_infer_says_that_the_bench_is_what_it_is_when_the_configuration_differs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.toml").write_text('[link]\nreceiver = "feed-forward-tap"\nreceiver_setting = 0.3\n')
    assert main([*INFER, "--out", "run", "--config", "c.toml"]) == 0
    out = capsys.readouterr().out
    assert "The bench files and their calibration say what the link is, not [link]." in out
    assert "passive-tap at 0.1" in out


def _watch_lasers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each laser was dark when its bench gave it back."""
    dark: list[bool] = []
    usual = Bench.close

    def close(bench: Bench) -> None:
        lasers = [one for one in bench.instruments.values() if isinstance(one, Laser)]
        for laser in lasers:
            monkeypatch.setattr(
                laser, "_close", lambda laser=laser: dark.append(not laser._get_emission())
            )
        usual(bench)

    monkeypatch.setattr(Bench, "close", close)
    return dark


def test_ctrl_c_in_a_calibration_ends_in_the_dark_and_the_next_one_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _bench_files()
    dark = _watch_lasers(monkeypatch)
    kind = type(all_routines().get("modulators"))

    def interrupted(routine: object, context: Context) -> Result:
        context.bench.safety["server"].switch_on(PLAN)
        laser = context.bench.instruments["server.laser"]
        assert isinstance(laser, Laser)
        assert laser.emission()
        raise KeyboardInterrupt

    wanted = ["calibrate", "electronic_noise", "modulators", *BENCHES]
    with monkeypatch.context() as patch:
        patch.setattr(kind, "run", interrupted)
        assert main(wanted) == 130
    assert capsys.readouterr().err == "veilight: interrupted; nothing is left half-written\n"
    assert dark == [True, True, True]
    assert list(Store.at(STORE).latest_ids()) == ["electronic_noise"]
    again = _json(capsys, *wanted)
    assert {one["routine"]: one["status"] for one in again["outcomes"]} == {
        "electronic_noise": "fresh",
        "modulators": "done",
    }


def test_ctrl_c_in_an_inference_ends_in_the_dark(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = _watch_lasers(monkeypatch)

    def interrupted(screen: object, request: object, link: object, pair: BenchPair) -> None:
        assert pair.server.get("laser", Laser).emission()
        raise KeyboardInterrupt

    monkeypatch.setattr(veilight.cli._infer_bench, "run_with_live_view", interrupted)
    message = _error(capsys, 130, *INFER, "-q", "--out", "run")
    assert message == "interrupted; nothing is left half-written"
    assert dark == [True, True, True]
    assert list(Path("run").iterdir()) == []


def test_infer_is_right_when_a_calibration_left_the_generators_at_another_level(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = veilight.bench_runs.calibrated_values

    def after_a_routine(pair: BenchPair, store: Store, *, override: bool = False) -> BenchValues:
        values = usual(pair, store, override=override)
        pair.client.get("data_generator", WaveformGenerator).set_idle(0, values.client.data_v_pi_v)
        return values

    monkeypatch.setattr(veilight.bench_runs, "calibrated_values", after_a_routine)
    assert _json(capsys, *INFER[:2], "--samples", "50", *BENCHES, "--out", "run")["accepted"]


@pytest.mark.parametrize(
    ("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["ctrl-c", "kill"]
)
def test_a_stopped_process_leaves_a_store_that_can_be_read(
    tmp_path: Path, stop: signal.Signals, status: int
) -> None:
    for path in (ROOT / "examples" / "benches").glob("*.toml"):
        shutil.copy(path, tmp_path)
    # A process that a shell started in the background ignores Ctrl-C: take it as a terminal does.
    start = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from veilight.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environment: Mapping[str, str] = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    store = tmp_path / STORE
    with subprocess.Popen(
        [sys.executable, "-c", start, "calibrate", "all", *BENCHES],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not store.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=120)
    interrupted = "veilight: interrupted; nothing is left half-written\n"
    assert (process.returncode, errors) == (status, interrupted if status > 0 else "")
    found = Store.at(store)
    assert found.latest("electronic_noise") is not None
    assert "quadratures" not in found.latest_ids()
