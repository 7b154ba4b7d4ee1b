"""`infer --defence`, `reconstruct defences` and `renew`, as people type them."""

import json
from pathlib import Path

import pytest

from protocol.ledger import WeightLedger
from protocol.models.files import load_model
from protocol.models.model import Model
from veilight.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    command = ["train", "--hidden", "16", "--epochs", "8", "--signal-to-noise", "4,8", "--quiet"]
    assert main([*command, "--save", str(path)]) == 0
    return path


def test_defences_stand_in_result_and_report_when_they_are_asked_for(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["infer", str(model), "--signal-to-noise", "4,8", "--samples", "30", "--seed", "1"]
    words = "permute,rescale=1.5,dummies=3,photons=2"
    out = ["--defence", words, "--samples-per-block", "10", "--out", str(tmp_path)]
    assert main([*command, *out]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Defences: {words}; 3 disguises, credited with 0 bits" in printed
    run = json.loads((tmp_path / "result.json").read_text())["runs"][0]
    assert run["accepted"] is True
    assert run["defences"]["settings"] == words
    assert run["defences"]["samples_per_disguise"] == 10
    assert run["layers"][0]["rows"] == 19
    report = (tmp_path / "report.html").read_text()
    assert words in report
    assert "credited with 0 bits" in report


def test_unknown_defence_is_refused_with_the_word_that_was_meant(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["infer", str(model), "--signal-to-noise", "4,8", "--out", str(tmp_path)]
    assert main([*command, "--defence", "permte"]) == 2
    assert "did you mean permute" in " ".join(capsys.readouterr().err.split())


def test_defences_are_measured_beside_the_bound(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reconstruct", "defences", "--rows", "16", "--modes", "48", "--queries", "1,6"]
    folder = tmp_path / "plots"
    assert main([*command, "--photons", "3", "--json", "--plots", str(folder)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [(p["defence"], p["queries"]) for p in values["points"]] == [
        ("none", 1),
        ("none", 6),
        ("permute", 1),
        ("permute", 6),
    ]
    plain, disguised = values["points"][1], values["points"][3]
    # 4 x 0.3 x 48 = 58 per row: the rows are matched, the naive average is lost.
    assert disguised["matched"] > 0.9
    assert disguised["aligned"]["bits"] == pytest.approx(plain["aligned"]["bits"], rel=0.2)
    assert disguised["naive"]["bits"] < plain["naive"]["bits"] / 4
    assert (folder / "defences.png").read_bytes().startswith(b"\x89PNG")

    assert main([*command, "--defence", "photons=2", "--model", str(model)]) == 0
    out = capsys.readouterr().out
    assert "16 rows of 65 weights" in out
    assert "within the bound" in out


def create_ledger(model: Model, path: Path) -> None:
    """A ledger with a budget of half a bit per weight, against any memory, closed."""
    rows = {index: model.graph.optical_layer(index).rows for index in model.graph.optical}
    WeightLedger.create(path, model.digest, rows, 0.5, rule="with memory").close()


def test_network_is_renewed_and_its_old_ledger_retired(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, spent = load_model(model), tmp_path / "old.ledger"
    create_ledger(old, spent)
    command = ["renew", str(model), "--ledger", str(spent), "--margin", "0.1", "--json"]
    new, ledger = tmp_path / "new.safetensors", tmp_path / "new.ledger"
    assert main([*command, "--save", str(new), "--new-ledger", str(ledger)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["told_by_old_light_bits_per_weight"] == 0.0
    digest = load_model(new).digest
    assert values["digest"] == digest != old.digest
    assert values["accuracy_after"] >= values["accuracy_before"] - 0.1
    with WeightLedger.open(ledger, digest) as fresh:
        assert fresh.budget_bits_per_weight == 0.5
        assert fresh.rule == "with memory"
        assert fresh.totals().entries == 0
        assert old.digest[:12] in fresh.note
    with WeightLedger.open(spent, old.digest) as closed:
        assert closed.successor == digest

    # The old weights are sent no more, nor renewed again.
    infer = ["infer", str(model), "--ledger", str(spent), "--signal-to-noise", "4,8"]
    assert main([*infer, "--samples", "3", "--out", str(tmp_path / "out")]) == 4
    again = ["--save", str(tmp_path / "b.safetensors"), "--new-ledger", str(tmp_path / "b")]
    assert main([*command, *again]) == 2
    assert "retired already" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_renewal_is_refused_when_the_data_are_of_another_shape(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, spent = load_model(model), tmp_path / "old.ledger"
    create_ledger(old, spent)
    command = ["renew", str(model), "--ledger", str(spent), "--data", "breast-cancer"]
    files = ["--save", str(tmp_path / "n.safetensors"), "--new-ledger", str(tmp_path / "n")]
    assert main([*command, *files]) == 3
    assert "samples of shape (30,)" in capsys.readouterr().err
    assert not (tmp_path / "n").exists()


def test_old_ledger_stays_open_when_the_new_network_is_too_poor(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, spent = load_model(model), tmp_path / "old.ledger"
    create_ledger(old, spent)
    command = ["renew", str(model), "--ledger", str(spent), "--margin", "0", "--epochs", "1"]
    files = ["--save", str(tmp_path / "n.safetensors"), "--new-ledger", str(tmp_path / "n")]
    assert main([*command, *files, "--seed", "1"]) != 0
    assert "allow a larger margin" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "n.safetensors").exists()
    with WeightLedger.open(spent, old.digest) as kept:
        assert kept.successor is None
