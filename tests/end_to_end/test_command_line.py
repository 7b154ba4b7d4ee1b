"""The program as its users run it: a process, its output, its exit status and its files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import veilight
from protocol.ledger import WeightLedger
from protocol.models.files import load_model

ROOT = Path(veilight.__file__).resolve().parent.parent
HEAVY = ("torch", "scipy", "h5py", "matplotlib", "sklearn", "numpy", "onnx")
# One thread: the matrices are small, and the tests share the machine.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
ENVIRONMENT.pop("VEILIGHT_TRACEBACK", None)


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "veilight", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["infer", "--help"], ["calibrate", "--help"], ["demo", "-h"]],
)
def test_help_imports_no_heavy_package(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from veilight.cli import main\n"
        f"status = main({arguments!r})\n"
        f"print('loaded', status, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "loaded 0 []"
    assert done.stderr == ""


def test_demo_passes_the_honest_client_and_catches_the_other(tmp_path: Path) -> None:
    done = _run(tmp_path, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "1. Training.",
        "2. Inference.",
        "Verdict: accepted",
        "3. The same with a client that keeps half",
        "Verdict: REFUSED",
        "gain",
        "client under verification, finite test",
        "Report: runs/",
    ):
        assert part in done.stdout
    reports = list((tmp_path / "runs").glob("*-demo/report.html"))
    assert len(reports) == 1
    page = reports[0].read_text(encoding="utf-8")
    assert "<html" in page
    # One page that stands alone.
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('href="https://arxiv.org', "").replace(
        'href="https://doi.org', ""
    )


def test_demo_gives_one_json_object_and_learns_the_digits(tmp_path: Path) -> None:
    done = _run(tmp_path, "demo", "--json", "--out", "here")
    assert (done.returncode, done.stderr) == (0, "")
    values = json.loads(done.stdout)
    assert values["honest"]["accepted"] is True
    # A fixed seed: the same run every time on one machine, and far from the limit on others.
    assert values["honest"]["accuracy"] > 0.85
    assert values["cheating"]["accepted"] is False
    assert values["cheating"]["symbols_sent"] < values["honest"]["symbols_sent"]
    assert values["files"]["report"] == "here/report.html"
    assert json.loads((tmp_path / "here" / "result.json").read_text())["runs"][0]["accuracy"]


def test_a_model_goes_from_training_over_light_to_a_spent_budget(tmp_path: Path) -> None:
    train = ["train", "--hidden", "16", "--epochs", "8", "--learning-rate", "0.01"]
    done = _run(tmp_path, *train, "--signal-to-noise", "2,4", "--save", "digits.safetensors")
    assert (done.returncode, done.stderr) == (0, "")

    infer = ["infer", "digits.safetensors", "--samples", "50", "--overwrite", "--out", "run"]
    first = _run(tmp_path, *infer, "--new-ledger", "weights.ledger", "--budget", "4.2", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    values = json.loads(first.stdout)
    # Nothing was said about the light: the model remembers what it was trained for.
    assert [layer["signal_to_noise"] for layer in values["layers"]] == pytest.approx([2, 4])
    assert values["accuracy"] > 0.5
    assert 0 < max(layer["bits_charged"] for layer in values["layers"]) <= 4.2

    # All 50 in one block would be charged 4.8 bits until they are back: the run has cut them.
    assert 0 < values["inputs_per_block"] < 50

    spent = _run(tmp_path, *infer, "--ledger", "weights.ledger")
    assert spent.returncode == 4
    assert spent.stderr.count("\n") == 1
    assert "budget of 4.2" in spent.stderr

    lifted = _run(tmp_path, *infer, "--ledger", "weights.ledger", "--lift-budget")
    assert lifted.returncode == 0
    assert "10,000 real queries would have leaked" in lifted.stdout

    leakage = _run(tmp_path, "leakage", "--model", "digits.safetensors", "--budget", "4.2")
    assert leakage.returncode == 0
    assert "All layers together:" in leakage.stdout


def test_config_show_can_be_saved_and_used(tmp_path: Path) -> None:
    shown = _run(tmp_path, "config", "show")
    assert (shown.returncode, shown.stderr) == (0, "")
    (tmp_path / "mine.toml").write_text(shown.stdout)
    again = _run(tmp_path, "config", "show", "--config", "mine.toml")
    assert again.stdout == shown.stdout
    (tmp_path / "mine.toml").write_text(shown.stdout.replace("efficiency =", "eficiency =", 1))
    wrong = _run(tmp_path, "config", "show", "--config", "mine.toml")
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert "link.client.eficiency; did you mean link.client.efficiency?" in wrong.stderr


def _interrupt(folder: Path, *arguments: str, when: Path) -> tuple[int, str]:
    """Status and errors of a process that gets one Ctrl-C a moment after `when` exists."""
    # A process that a shell started in the background ignores Ctrl-C, and so do its children:
    # take the signal as a terminal would hand it over.
    start = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from veilight.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not when.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        # Long enough that the work has begun, and far less than it takes.
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        return process.returncode, errors


def test_ctrl_c_stops_a_training_without_leaving_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    save = str(folder / "m.safetensors")
    train = ["train", "--hidden", "64", "--epochs", "1000000", "--save", save]
    status, errors = _interrupt(tmp_path, *train, when=folder)
    assert (status, errors) == (130, "veilight: interrupted; nothing is left half-written\n")
    assert list(folder.iterdir()) == []


def test_ctrl_c_stops_an_inference_with_the_ledger_right(tmp_path: Path) -> None:
    model, ledger = tmp_path / "m.safetensors", tmp_path / "weights.ledger"
    train = ["train", "--hidden", "1024,1024", "--epochs", "1", "--save", str(model), "--quiet"]
    assert _run(tmp_path, *train).returncode == 0
    (tmp_path / "slow.toml").write_text(
        "[protocol]\nfull_return = true\nrows_per_block = 1\nsamples_per_block = 1\n"
    )
    infer = ["infer", str(model), "--signal-to-noise", "1,1,1", "--config", "slow.toml"]
    order = [*infer, "--new-ledger", str(ledger), "--out", "run"]
    status, errors = _interrupt(tmp_path, *order, when=ledger)
    assert (status, errors) == (130, "veilight: interrupted; nothing is left half-written\n")
    assert list((tmp_path / "run").iterdir()) == []
    with WeightLedger.open(ledger, load_model(model).digest) as opened:
        totals = opened.totals()
    assert totals.entries > 0
    assert totals.entries == totals.verified + totals.reserved
    # Blocks go one after another, so that at most one was on its way.
    assert totals.reserved <= 1
