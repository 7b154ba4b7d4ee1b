"""`veilight infer` in one process: verdicts, ledgers, bad input, and what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from protocol.ledger import DataLedger, WeightLedger
from protocol.models.files import load_model, save_model
from protocol.models.graph import Flatten, Graph, InputScaling, Linear, Relu
from protocol.models.model import LayerWeights, Model
from veilight.cli import main

LIGHT = ["--signal-to-noise", "4,4"]


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained 64-12-10 network for the digits, without a word on its light."""
    graph = Graph(
        input_shape=(8, 8),
        layers=(Flatten(), Linear(inputs=64, outputs=12), Relu(), Linear(inputs=12, outputs=10)),
        scaling=InputScaling(offset=8.0, factor=0.125),
    )
    generator = torch.Generator().manual_seed(0)

    def weights(rows: int, columns: int) -> LayerWeights:
        return LayerWeights(
            weight=torch.randn(rows, columns, generator=generator),
            bias=torch.randn(rows, generator=generator),
        )

    model = Model(graph=graph, weights={1: weights(12, 64), 3: weights(10, 12)})
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(model, path)
    return path


def _infer(model: Path, *arguments: str) -> int:
    return main(["infer", str(model), "--samples", "40", "--seed", "1", *arguments])


def _ledger_entries(path: Path, model: Path) -> int:
    with WeightLedger.open(path, load_model(model).digest) as ledger:
        return ledger.totals().entries


def test_infer_prints_one_json_object_and_writes_the_report_when_honest(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _infer(model_path, *LIGHT, "--out", str(out), "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    values = json.loads(captured.out)
    assert captured.out.count("\n") == 1
    assert values["accepted"] is True
    assert values["samples"] == 40
    assert values["seed"] == 1
    assert [layer["signal_to_noise"] for layer in values["layers"]] == pytest.approx([4, 4])
    assert values["verdict"].startswith("accepted")
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "result.json"]
    written = json.loads((out / "result.json").read_text())
    assert written["runs"][0]["accuracy"] == values["accuracy"]
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")


def test_infer_repeats_exactly_when_the_seed_is_the_same(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for name in ("a", "b"):
        assert _infer(model_path, *LIGHT, "--out", str(tmp_path / name), "--json") == 0
        values = json.loads(capsys.readouterr().out)
        seen.append((values["accuracy"], values["confusion"], values["blocks"]))
    assert seen[0] == seen[1]


def test_infer_shows_verdict_accuracy_and_leakage_to_people(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _infer(model_path, *LIGHT, "--out", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    for part in (
        "Verdict: accepted",
        "Accuracy over light:",
        "client or thief keeping all the light",
        "server homodyning whole rows",
        "[bit per weight]",
        f"Report: {tmp_path / 'report.html'}",
    ):
        assert part in shown


@pytest.mark.parametrize("behaviour", ["keeps=0.5", "nothing", "resend", "tap=0.5"])
def test_infer_ends_with_5_and_still_reports_when_the_client_cheats(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], behaviour: str
) -> None:
    arguments = [*LIGHT, "--out", str(tmp_path), "--json", "--client-behaviour", behaviour]
    assert _infer(model_path, *arguments) == 5
    values = json.loads(capsys.readouterr().out)
    assert values["accepted"] is False
    assert values["accuracy"] is None
    assert values["verdict"].startswith("REFUSED")
    assert (tmp_path / "report.html").exists()


def test_infer_calls_a_run_not_verifiable_when_no_light_comes_back(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = ["--receiver", "passive-tap", "--setting", "1"]
    assert _infer(model_path, *LIGHT, *receiver, "--out", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"].startswith("NOT VERIFIABLE")


def test_infer_charges_the_ledger_it_makes_and_finds_it_again(
    model_path: Path, tmp_path: Path
) -> None:
    ledger, out = tmp_path / "weights.ledger", str(tmp_path / "out")
    light = ["--photons", "1e-4,1e-4", "--out", out, "--overwrite"]
    assert _infer(model_path, *light, "--new-ledger", str(ledger), "--budget", "0.5") == 0
    first = _ledger_entries(ledger, model_path)
    assert first == 2
    assert _infer(model_path, *light, "--ledger", str(ledger)) == 0
    assert _ledger_entries(ledger, model_path) == 2 * first
    assert _infer(model_path, *light, "--new-ledger", str(ledger)) == 4
    assert _ledger_entries(ledger, model_path) == 2 * first


def test_infer_cuts_batches_as_it_is_told_or_as_the_budget_needs(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out"), "--overwrite"]
    assert _infer(model_path, *LIGHT, *out, "--inputs-per-block", "15", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["inputs_per_block"] == 15
    # 40 samples in blocks of 15, 15 and 10, for each of two layers.
    assert len(told["blocks"]) == 6
    light = ["--photons", "0.5,0.5", *out]
    assert _infer(model_path, *light, "--budget", "3") == 0
    shown = capsys.readouterr().out
    number = int(shown.partition("Blocks of at most ")[2].split()[0])
    assert 1 <= number < 40
    assert "the most that the budget allows" in " ".join(shown.split())
    assert _infer(model_path, *light, "--budget", "3", "--inputs-per-block", "0") == 4
    assert f"with at most {number};" in capsys.readouterr().err


def test_infer_ends_with_4_when_the_budget_is_spent_and_passes_when_it_is_lifted(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, out = tmp_path / "weights.ledger", tmp_path / "out"
    light = [*LIGHT, "--out", str(out)]
    assert _infer(model_path, *light, "--new-ledger", str(ledger), "--budget", "1e-6") == 4
    captured = capsys.readouterr()
    assert "budget of 1e-06" in captured.err
    assert captured.err.count("\n") == 1
    assert list(out.iterdir()) == []
    assert _ledger_entries(ledger, model_path) == 0
    assert _infer(model_path, *light, "--ledger", str(ledger), "--lift-budget") == 0
    assert "10,000 real queries would have leaked" in capsys.readouterr().out
    assert _ledger_entries(ledger, model_path) > 0


def test_infer_limits_what_an_input_may_leak_when_the_configuration_says_so(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[ledger]\ndata_budget_bits_per_input = 1e-9\n")
    assert _infer(model_path, *LIGHT, "--out", str(tmp_path), "--config", str(config)) == 4
    assert "input" in capsys.readouterr().err


def _bad_data(folder: Path, name: str, inputs: np.ndarray) -> str:
    np.savez(folder / name, inputs=inputs, labels=np.arange(len(inputs)) % 2)
    return str(folder / name)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        ([], 2, "how much light? The model was trained without noise; give --photons"),
        (["--photons", "1"], 2, "1 photon numbers are given, the network has 2 optical layers"),
        (["--photons", "0,1"], 2, "protocol.photons_per_symbol.0 is 0.0"),
        (["--photons", "nan,1"], 2, "protocol.photons_per_symbol.0 is nan"),
        (["--photons", "1,1", "--signal-to-noise", "1,1"], 2, "not both"),
        ([*LIGHT, "--setting", "0.9"], 2, "gain is 0.9"),
        ([*LIGHT, "--receiver", "passive-tap", "--setting", "1.1"], 2, "tap_fraction is 1.1"),
        (
            [*LIGHT, "--receiver", "feed-forward-tap", "--setting", "1", "--encoding", "complex"],
            2,
            "cannot take the complex encoding",
        ),
        ([*LIGHT, "--client-behaviour", "keeps"], 2, "such as keeps=0.5"),
        ([*LIGHT, "--lift-budget"], 2, "--lift-budget needs --ledger"),
        ([*LIGHT, "--data", "mnits"], 3, "Did you mean mnist?"),
        ([*LIGHT, "--data", "{tmp}/wide.npz"], 3, "the network takes (8, 8)"),
        ([*LIGHT, "--data", "{tmp}/nan.npz"], 3, "NaN"),
        ([*LIGHT, "--samples", "100000"], 3, "ask for 1 to"),
        ([*LIGHT, "--ledger", "{tmp}/none.ledger"], 4, "none.ledger"),
        ([*LIGHT, "--out", "{tmp}/file/out"], 6, "Not a directory"),
        ([*LIGHT, "--out", "{tmp}/used"], 6, "report.html exists already"),
    ],
)
def test_infer_says_in_one_line_what_is_wrong_and_sends_no_light(
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    expected: str,
) -> None:
    monkeypatch.setattr("veilight.runs.run_inference", lambda *_: pytest.fail("light was sent"))
    monkeypatch.chdir(tmp_path)
    _bad_data(tmp_path, "wide.npz", np.random.default_rng(0).random((20, 9)))
    _bad_data(tmp_path, "nan.npz", np.full((20, 64), np.nan))
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "report.html").write_text("precious")
    given = [part.replace("{tmp}", str(tmp_path)) for part in arguments]
    ledger = [] if "--ledger" in given or "--lift-budget" in given else ["--new-ledger", "l"]
    before = sorted(tmp_path.rglob("*"))
    assert _infer(model_path, *ledger, *given) == status
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(path for path in tmp_path.rglob("*") if "runs" not in path.parts) == before
    assert (tmp_path / "used" / "report.html").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("gone.safetensors", None, "no such file"),
        ("model.pt", b"x", "can run any code"),
        ("broken.onnx", b"not a model", "broken.onnx"),
    ],
)
def test_infer_ends_with_3_when_the_model_cannot_be_used(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    expected: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert _infer(tmp_path / name, *LIGHT, "--out", str(tmp_path / "out")) == 3
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_infer_refuses_a_budget_that_is_not_the_ledgers(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "weights.ledger"
    model = load_model(model_path)
    WeightLedger.create(ledger, model.digest, {1: 12, 3: 10}, 2.0).close()
    arguments = [*LIGHT, "--ledger", str(ledger), "--out", str(tmp_path / "out")]
    assert _infer(model_path, *arguments, "--budget", "3") == 2
    assert "was made with a budget of 2.0 bit per weight" in capsys.readouterr().err


def test_infer_stops_at_ctrl_c_with_the_ledger_right(
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sim_backend.symbol_link import SymbolLink

    sent = []

    def interrupted(link: SymbolLink, *_: object) -> None:
        sent.append(link)
        raise KeyboardInterrupt

    ledger, out = tmp_path / "weights.ledger", tmp_path / "out"
    monkeypatch.setattr(SymbolLink, "send", interrupted)
    arguments = [*LIGHT, "--new-ledger", str(ledger), "--out", str(out)]
    assert _infer(model_path, *arguments) == 130
    captured = capsys.readouterr()
    assert captured.err == "veilight: interrupted; nothing is left half-written\n"
    assert len(sent) == 1
    assert list(out.iterdir()) == []
    # Debited before the light, and spent whatever became of it.
    with WeightLedger.open(ledger, load_model(model_path).digest) as opened:
        totals = opened.totals()
    assert (totals.entries, totals.reserved) == (1, 1)


def test_infer_counts_every_evaluation_of_an_input_in_the_clients_ledger(
    model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "inputs.db"
    outs = [str(tmp_path / name) for name in ("one", "two")]
    assert _infer(model_path, *LIGHT, "--new-data-ledger", str(path), "--out", outs[0]) == 0
    with DataLedger.open(path) as ledger:
        once = ledger.totals()
    assert once.inputs == 40
    assert once.total_bits > 0
    assert _infer(model_path, *LIGHT, "--data-ledger", str(path), "--out", outs[1]) == 0
    with DataLedger.open(path) as ledger:
        twice = ledger.totals()
    assert twice.inputs == 40
    assert twice.total_bits == pytest.approx(2 * once.total_bits)


def test_infer_sends_nothing_when_the_clients_budget_is_spent(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tight.toml"
    config.write_text("[ledger]\ndata_budget_bits_per_input = 0.001\n")
    server = tmp_path / "server.db"
    options = ["--config", str(config), "--new-ledger", str(server)]
    assert _infer(model_path, *LIGHT, *options, "--out", str(tmp_path / "out")) == 4
    assert "input" in capsys.readouterr().err
    assert _ledger_entries(server, model_path) == 0
