"""The whole job through real drivers: twins in one process, calibration and inference in another.

`veilight twin` serves the laboratory bench of the examples on loopback sockets and terminals;
`veilight calibrate all` and `veilight infer` reach it by the drivers alone. The same network runs
on the simulated bench of the waveform tier, and the two must agree.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.short_records import shorten_records

BENCHES = Path(__file__).resolve().parents[2] / "examples" / "benches"
SAMPLES = 60
SPEED = 20.0
"""Simulated seconds per second: lasers settle and paddles turn while the test waits. A busy machine
takes minutes for the calibrations, which must not be stale before they are used."""


def veilight(*arguments: str | Path, folder: Path, timeout_s: float = 240) -> dict[str, Any]:
    """Run the program as its users do; what it prints with --json."""
    command = [sys.executable, "-m", "veilight", *map(str, arguments), "--json"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True, kw_only=True)
class Twins:
    """A running bench of twins."""

    process: "subprocess.Popen[str]"
    said: dict[str, Any]
    folder: Path

    @property
    def benches(self) -> list[str]:
        """Arguments that name the written bench files."""
        return [part for path in self.said["files"] for part in ("--bench", path)]


def lab_files(folder: Path) -> list[Path]:
    """The laboratory bench with shorter records, and no traces of the computer it runs on."""
    paths = []
    for name in ("lab-server.toml", "lab-client.toml"):
        text = (BENCHES / name).read_text(encoding="utf-8")
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    shorten_records(paths[0])
    return paths


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    command = [sys.executable, "-m", "veilight", "twin", *map(str, lab_files(folder))]
    with subprocess.Popen(
        [*command, "--speed", str(SPEED), "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield Twins(process=process, said=json.loads(line), folder=folder)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    path = folder / "digits.safetensors"
    veilight(
        "train", "--data", "digits", "--hidden", "32", "--epochs", "20", "--seed", "1",
        "--signal-to-noise", "4,4", "--save", path, folder=folder,
    )  # fmt: skip
    return path


def infer(network: Path, benches: list[str], folder: Path, *more: str) -> dict[str, Any]:
    found = veilight(
        "infer", network, "--data", "digits", "--samples", str(SAMPLES), "--signal-to-noise", "4,4",
        "--new-ledger", folder / "weights.db", "--budget", "1000", *benches, *more,
        folder=folder,
    )  # fmt: skip
    run = found["runs"][0] if "runs" in found else found
    assert isinstance(run, dict)
    return run


def test_twins_answer_discovery_and_pass_the_bench_check(twins: Twins) -> None:
    addresses = [twin["address"] for twin in twins.said["twins"]]
    found = veilight("bench", "discover", *addresses, "--timeout", "0.2", folder=twins.folder)[
        "found"
    ]
    named = {one["address"] for one in found if one["drivers"]}
    assert named == set(addresses)
    checked = veilight("bench", "check", *twins.said["files"], folder=twins.folder)
    assert checked["passed"]
    safe = veilight("bench", "safe", *twins.said["files"], folder=twins.folder)
    assert safe["safe"]


@pytest.mark.timeout(600)
def test_calibration_and_inference_agree_with_the_waveform_tier_when_run_through_real_drivers(
    twins: Twins, network: Path, tmp_path: Path
) -> None:
    """Each comparison fails with less than 1e-9 in an honest run: six standard errors."""
    calibrated = veilight("calibrate", "all", *twins.benches, folder=twins.folder, timeout_s=500)
    outcomes = {one["routine"]: one["status"] for one in calibrated["outcomes"]}
    assert set(outcomes.values()) == {"done"}, outcomes
    wire = infer(network, twins.benches, twins.folder)
    simulated = [
        part
        for name in ("server.toml", "client.toml")
        for part in ("--bench", str(copied(BENCHES / name, tmp_path)))
    ]
    veilight("calibrate", "all", *simulated, folder=tmp_path)
    waveform = infer(network, simulated, tmp_path)
    assert wire["accepted"]
    assert waveform["accepted"]
    assert wire["simulated"]
    clean = wire["noise_free_accuracy"]
    assert clean == waveform["noise_free_accuracy"]
    spread = math.sqrt(2 * max(clean * (1 - clean), 0.05) / SAMPLES)
    assert abs(wire["accuracy"] - waveform["accuracy"]) < 6 * spread
    for one, other in zip(wire["layers"], waveform["layers"], strict=True):
        for quadrature in ("x", "p"):
            key = f"excess_noise_{quadrature}_snu"
            error = math.hypot(noise_error(one, quadrature), noise_error(other, quadrature))
            assert abs(one[key] - other[key]) < 6 * error, (one["name"], quadrature)


def copied(path: Path, folder: Path) -> Path:
    """A bench file at the symbol rate of the laboratory bench, in a folder of its own."""
    target = folder / path.name
    text = path.read_text(encoding="utf-8") + "\n[frame]\nsymbol_rate_hz = 78.125e6\n"
    target.write_text(text, encoding="utf-8")
    if "server" in path.name:
        shorten_records(target)
    return target


def noise_error(layer: dict[str, Any], quadrature: str) -> float:
    """Standard error of an excess noise that is referred to the launch."""
    symbols: float = layer[f"tested_symbols_{quadrature}"]
    transmittance: float = layer["transmittance"]
    return math.sqrt(2 / symbols) / transmittance


def test_twin_ends_in_the_dark_and_takes_its_addresses_with_it_when_it_is_stopped(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "veilight", "twin", *map(str, lab_files(tmp_path)), "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        terminals = [t["address"] for t in said["twins"] if t["address"].startswith("/dev/")]
        assert terminals
        assert all(os.path.exists(path) for path in terminals)
        # Not SIGINT: programs that were started in the background ignore it.
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
    for path in said["files"]:
        assert "twin = true" in Path(path).read_text(encoding="utf-8")
