"""`--x-share` and `--dither` by the command line: a session, its certificate, its plan."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from veilight.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dither") / "m.safetensors"
    train = ["train", "--save", str(path), "--hidden", "8", "--epochs", "1", "--quiet"]
    assert main(train) == 0
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def infer(model: Path, out: Path, *options: str) -> list[str]:
    given = ["infer", str(model), "--photons", "0.3,0.3", "--samples", "20", "--seed", "1"]
    given += ["--receiver", "feed-forward-tap", "--setting", "0.2", "--out", str(out)]
    return [*given, "--samples-per-block", "10", *options]


def test_dithered_session_is_certified_and_charged_when_the_client_allows_it(
    model: Path, run: Run, tmp_path: Path
) -> None:
    charged = {}
    for name, options in (
        ("plain", []),
        ("dithered", ["--x-share", "0.3", "--dither", "2", "--probe-photons", "0.5"]),
    ):
        out, ledger = tmp_path / name, tmp_path / f"{name}.ledger"
        status, _, error = run(*infer(model, out, *options, "--new-data-ledger", str(ledger)))
        assert status == 0, error
        key = tmp_path / f"{name}.pem"
        assert run("certify", "keys", key)[0] == 0
        assert run("certify", out, "--key", key)[0] == 0
        result = json.loads((out / "result.json").read_text())["runs"][0]
        server = json.loads((out / "certificate.server.json").read_text())["statement"]
        client = json.loads((out / "certificate.client.json").read_text())["statement"]
        charged[name] = client["ledger"]["charged_bits"]
        estimated = {entry["what"] for entry in server["estimates"]}
        trusted = {entry["what"]: entry["value"] for entry in server["trust"]}
        adversaries = {entry["adversary"] for entry in client["layers"]}
        probing = "server probing P, and any measurement"
        share = next(value for what, value in trusted.items() if what.endswith("share of X"))
        displaced = [v for what, v in trusted.items() if what.startswith("random displacements")]
        if name == "plain":
            assert (share, displaced) == (0.5, [])
            assert "gain of P" not in estimated
            assert probing not in adversaries
        else:
            assert (share, displaced) == (0.3, [2.0])
            assert "gain of P" in estimated
            assert probing in adversaries
            assert client["total"]["total_bits"] == max(
                entry["total_bits"] for entry in client["layers"]
            )
            assert (result["x_share"], result["dither_snu"]) == (0.3, 2.0)
            layer = result["layers"][0]
            assert layer["launched_photons_per_symbol"] == pytest.approx(0.3 + 0.5)
            assert 0.9 < layer["measured_gain_p"] < 1.05
            report = (out / "report.html").read_text()
            assert "share of the return that is tested in X" in report
            assert "mean square 2" in report
        for side in ("server", "client"):
            assert run("certify", "verify", out / f"certificate.{side}.json")[0] == 0
    assert charged["dithered"] > 2 * charged["plain"]


def test_dither_is_refused_before_light_when_the_client_allows_none(
    model: Path, run: Run, tmp_path: Path
) -> None:
    status, _, error = run(*infer(model, tmp_path / "a", "--dither", "2"))
    assert status != 0
    assert "probe_photons_per_mode" in error
    status, _, error = run(*infer(model, tmp_path / "b", "--dither", "2", "--encoding", "complex"))
    assert status != 0
    status, _, error = run(*infer(model, tmp_path / "c", "--x-share", "1"))
    assert status != 0
    assert "x_share" in error


def test_settings_are_read_from_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text("[protocol]\nx_share = 0.8\ndither_snu = 0.25\n")
    status, out, _ = run("config", "show", "--config", file, "--json")
    assert status == 0
    shown = json.loads(out)["protocol"]
    assert (shown["x_share"], shown["dither_snu"]) == (0.8, 0.25)


def test_plan_names_the_best_share_when_dithers_are_compared(run: Run) -> None:
    """Faint light at G = 1.3: 2.22 times the asymptotic value at half, below 2 at the best."""
    plan = ["certify", "plan", "--photons", "0.01", "--receiver", "amplifier", "--setting", "1.3"]
    status, out, _ = run(*plan, "--dither", "0,2", "--json")
    assert status == 0
    half, best, displaced, _ = json.loads(out)["certificates"]
    ratio = half["bits_per_weight"] / half["asymptotic_bits_per_weight"]
    assert ratio == pytest.approx(2.22, abs=0.01)
    assert best["x_share"] == pytest.approx(0.89, abs=0.02)
    assert best["bits_per_weight"] < 2 * best["asymptotic_bits_per_weight"]
    assert displaced["bits_per_weight"] < 0.25 * half["bits_per_weight"]
    status, out, _ = run(*plan[:4], "--receiver", "feed-forward-tap", "--setting", "0.1")
    assert status == 0
    assert "tell of the data" not in out
    status, _, error = run(*plan, "--encoding", "complex", "--dither", "1")
    assert status != 0
    assert "complex encoding puts weights on P" in error
