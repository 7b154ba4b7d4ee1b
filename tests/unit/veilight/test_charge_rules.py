"""Whom a ledger charges for, as people ask for it and as they see it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.receivers import Amplifier, FeedForwardTap, Receiver
from protocol.budget import charge_for_layer, pending_queries, queries_within_budget
from protocol.encoding import photons_for_signal_to_noise
from protocol.honest_channel import server_trust
from protocol.ledger import ChargeRule, WeightLedger
from protocol.models.files import load_model, save_model
from protocol.plan import Encoding, LayerPlan, Plan
from protocol.verification import expected_return
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import perceptron
from veilight.cli import main
from veilight.config import default_configuration, load_configuration
from veilight.frontier.layer_figures import (
    LayerDesign,
    queries_allowed,
    queries_allowed_with_memory,
)
from veilight.frontier.link import LinkAssumptions
from veilight.frontier.shapes import LayerShape


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(perceptron((64, 9, 10)), path)
    return path


def infer(model: Path, out: Path, *arguments: str) -> int:
    command = ["infer", str(model), "--samples", "6", "--seed", "1", "--photons", "0.05,0.05"]
    return main([*command, "--out", str(out), "--overwrite", *arguments])


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "result.json").read_text())["runs"][0]
    return found


def test_new_ledger_keeps_its_rule_and_says_it_when_it_was_asked_to_charge_a_memory(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "w", tmp_path / "out"
    assert infer(model_path, out, "--new-ledger", str(path), "--against-memory") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "it charges for clients with one memory over all copies of a weight." in told
    first = result(out)
    # Nobody asks the second time.
    assert infer(model_path, out, "--ledger", str(path)) == 0
    second = result(out)
    with WeightLedger.open(path, load_model(model_path).digest) as ledger:
        assert ledger.rule == "with memory"
        assert {entry.copies for entry in ledger.entries()} == {6}
    assert first["charge_rule"] == second["charge_rule"] == "with memory"
    assert second["layers"][0]["bits_charged"] > first["layers"][0]["bits_charged"]
    assert "one memory over all copies of a weight included" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("made", "asked"),
    [("--against-memory", "--copies-apart"), ("--copies-apart", "--against-memory")],
    ids=["with memory", "copies apart"],
)
def test_ledger_is_not_used_when_another_rule_is_asked_for(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], made: str, asked: str
) -> None:
    path = tmp_path / "w"
    assert infer(model_path, tmp_path / "one", "--new-ledger", str(path), made) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("it charges for clients whose memory meets one copy" in said) == (
        made == "--copies-apart"
    )
    with WeightLedger.open(path, load_model(model_path).digest) as ledger:
        entries = ledger.totals().entries
    assert infer(model_path, tmp_path / "two", "--ledger", str(path), asked) == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert "a ledger keeps its rule" in refused
    assert "veilight renew" in refused
    with WeightLedger.open(path, load_model(model_path).digest) as ledger:
        assert ledger.totals().entries == entries
    assert infer(model_path, tmp_path / "two", "--ledger", str(path), made) == 0


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ((), "copies apart"),
        (("--copies-apart",), "copies apart"),
        (("--against-memory",), "with memory"),
    ],
    ids=["nothing", "apart", "memory"],
)
def test_run_without_a_file_charges_by_the_rule_that_was_asked_for(
    model_path: Path, tmp_path: Path, options: tuple[str, ...], rule: ChargeRule
) -> None:
    assert infer(model_path, tmp_path, *options) == 0
    assert result(tmp_path)["charge_rule"] == rule
    words = "one memory over all copies of a weight included"
    assert (words in (tmp_path / "report.html").read_text()) == (rule == "with memory")


def test_rule_stands_in_the_configuration_when_a_file_sets_it(tmp_path: Path) -> None:
    assert default_configuration().ledger.against_memory is None
    assert default_configuration().ledger.rule() == "copies apart"
    for text, rule in (("true", "with memory"), ("false", "copies apart")):
        path = tmp_path / f"{text}.toml"
        path.write_text(f"[ledger]\nagainst_memory = {text}\n", encoding="utf-8")
        assert load_configuration(path).ledger.rule() == rule


DESIGN = LayerDesign(
    shape=LayerShape(layer=0, rows=5, columns=60, positions=16),
    signal_to_noise=0.3,
    receiver=FeedForwardTap(tap_fraction=0.1),
    encoding="real",
    link=LinkAssumptions(inputs_per_block=3),
    tested_symbols=None,
    failure=1e-6,
)


@pytest.mark.parametrize("rule", ["copies apart", "with memory"])
@pytest.mark.parametrize(
    ("receiver", "encoding"),
    [
        (FeedForwardTap(tap_fraction=0.1), "real"),
        (Amplifier(gain=1.3), "real"),
        (Amplifier(gain=1.3), "complex"),
    ],
    ids=["tap", "amplifier", "complex"],
)
def test_budget_of_a_session_allows_what_the_frontier_says_of_its_design(
    receiver: Receiver, encoding: Encoding, rule: ChargeRule
) -> None:
    design = replace(DESIGN, receiver=receiver, encoding=encoding)
    link = SymbolLink(LinkSettings(receiver=receiver, seed=1, device="cpu"))
    info, client = link.server.describe(), link.client.describe()
    layer = LayerPlan(
        layer=0,
        rows=5,
        entries=60,
        positions=16,
        encoding=encoding,
        photons_per_symbol=photons_for_signal_to_noise(0.3, client.snr_factor, encoding),
        scale_snu=1.0,
        tiles=(design.modes,),
    )
    assert layer.photons_per_symbol == pytest.approx(design.photons_per_symbol)
    charge = charge_for_layer(layer, expected_return(info, receiver), server_trust(info), rule)
    plan = Plan(layers=(layer,), samples_per_block=1, inputs_per_block=3)
    for budget in (0.6, 1.5, 3.0):
        found = queries_within_budget(
            charge, layer.photons_per_symbol * 16, budget, pending_queries(plan, layer)
        )
        counted = queries_allowed if rule == "copies apart" else queries_allowed_with_memory
        assert found == counted(design, budget)
    assert found > 1


def test_commands_count_the_queries_of_a_budget_by_the_rule_that_is_asked_for(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    light = ["--signal-to-noise", "0.1,0.1", "--budget", "1", "--json"]
    for command in (["leakage", "--model", str(model_path)], ["cost", str(model_path)]):
        allowed = []
        for options in ([], ["--against-memory"]):
            assert main([*command, *light, *options]) == 0
            values = json.loads(capsys.readouterr().out)
            assert values["charge_rule"] == ("with memory" if options else "copies apart")
            allowed.append(values["queries_within_budget"])
        assert 0 < allowed[1] < allowed[0]
