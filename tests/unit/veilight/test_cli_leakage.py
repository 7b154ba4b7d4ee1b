"""`veilight leakage` and `veilight config show` in one process."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from protocol.leakage import (
    published_weight_bits_client_verified,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_real,
)
from veilight.cli import main
from veilight.config import default_configuration, load_configuration, override

ONE_LAYER = ["--rows", "100", "--modes", "784", "--photons", "0.03"]


def _leakage(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["leakage", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    values: dict[str, Any] = json.loads(captured.out)
    return values


def _bits(values: dict[str, Any], secret: str, adversary: str) -> float:
    found = [f for f in values[f"{secret}_leaked"] if f["adversary"] == adversary]
    assert len(found) == 1
    return float(found[0]["mean_bits_per_symbol"])


def test_leakage_agrees_with_the_formulas_for_one_layer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = _leakage(capsys, *ONE_LAYER, "--queries", "7")
    assert _bits(values, "weights", "client or thief keeping all the light") == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(7 * 0.03)
    )
    # Gain 2: the data mode carries 2 (1 - 1/G) = 1 SNU of excess noise, shared by 784 modes.
    assert _bits(values, "weights", "client under verification, asymptotic") == pytest.approx(
        weight_bits_client_verified_real(
            7 * 0.03, transmittance=1.0, excess_noise_x_snu=1 / 784, excess_noise_p_snu=1 / 784
        )
    )
    # F^2 = 4 mu (G - 1) G / (2 G^2 - 3 G + 2), at G = 2.
    assert values["layers"][0]["signal_to_noise"] == pytest.approx(4 * 0.03 / 2)


def test_leakage_to_the_server_is_the_published_closed_form_at_gain_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = _leakage(capsys, *ONE_LAYER)
    # ell = 1: 0.5 log2(1 + (M/N) ell^2 / (1 + ell)).
    assert _bits(values, "data", "server homodyning whole rows") == pytest.approx(
        0.5 * math.log2(1 + 100 / 784 / 2), rel=1e-6
    )


def test_leakage_shows_the_authors_formulas_only_where_they_apply(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = _leakage(capsys, *ONE_LAYER, "--encoding", "complex")
    published = values["published_by_the_authors"][0]
    expected = published_weight_bits_client_verified(0.03, 2.0, 784)
    assert published["weight_bits_client_verified"] == pytest.approx(expected)
    assert _leakage(capsys, *ONE_LAYER)["published_by_the_authors"] is None


def test_leakage_budget_allows_as_many_queries_as_stay_within_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    budget = 0.5
    values = _leakage(capsys, *ONE_LAYER, "--budget", str(budget))
    allowed = values["queries_within_budget"]
    assert allowed > 1

    def leaked(queries: int) -> float:
        # The last query is charged as kept until its light has passed.
        return weight_bits_client_verified_real(
            queries * 0.03,
            transmittance=(queries - 1) / queries,
            excess_noise_x_snu=1 / 784,
            excess_noise_p_snu=1 / 784,
        )

    assert leaked(allowed) <= budget < leaked(allowed + 1)


def test_leakage_gives_a_confidence_when_symbols_were_tested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tested = ["--tested-symbols", "1000000000", "--confidence", "0.999"]
    values = _leakage(capsys, *ONE_LAYER, *tested)
    finite = [f for f in values["weights_leaked"] if "finite test" in f["adversary"]]
    assert finite[0]["confidence"] == pytest.approx(0.999)
    asymptotic = _bits(values, "weights", "client under verification, asymptotic")
    assert finite[0]["mean_bits_per_symbol"] > asymptotic


def test_leakage_adds_layers_and_names_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    values = _leakage(capsys, "--rows", "100,10", "--modes", "784,100", "--photons", "0.03,0.5")
    for figure in values["weights_leaked"]:
        assert figure["symbols"] == 100 * 784 + 10 * 100
        assert figure["total_bits"] == pytest.approx(
            figure["mean_bits_per_symbol"] * figure["symbols"]
        )
    worst = {figure["worst_layer"] for figure in values["weights_leaked"]}
    assert "layer 1 (10 x 100)" in worst


def test_leakage_shows_tables_with_assumptions_to_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["leakage", *ONE_LAYER, "--budget", "0.01"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "client under verification, asymptotic",
        "server with any measurement",
        "(1) server's devices ideal and trusted",
        "Verified queries that a budget of 0.01 bit per weight allows",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        ([], 2, "which layers?"),
        (["--rows", "3"], 2, "which layers?"),
        (["--rows", "3", "--modes", "4"], 2, "how much light?"),
        (["--rows", "3,4", "--modes", "4", "--photons", "1"], 2, "--rows names 2 layers"),
        (["--rows", "0", "--modes", "4", "--photons", "1"], 2, "at least 1"),
        ([*ONE_LAYER, "--confidence", "1"], 2, "leakage.confidence is 1"),
        ([*ONE_LAYER, "--budget", "0"], 2, "ledger.budget_bits_per_weight is 0"),
        ([*ONE_LAYER, "--probe-photons", "-1"], 2, "probe_photons_per_mode is -1"),
        ([*ONE_LAYER, "--setting", "1"], 2, "gain is 1"),
        (["--model", "none.safetensors"], 3, "no such file"),
        ([*ONE_LAYER, "--model", "none.safetensors"], 2, "not both"),
    ],
)
def test_leakage_says_in_one_line_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, expected: str
) -> None:
    assert main(["leakage", *arguments]) == status
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_config_show_prints_toml_that_gives_the_same_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first.toml"
    first.write_text("[link]\nreceiver_setting = 3.0\n[ledger]\nbudget_bits_per_weight = 0.25\n")
    assert main(["config", "show", "--config", str(first)]) == 0
    second = tmp_path / "second.toml"
    second.write_text(capsys.readouterr().out)
    expected = override(
        default_configuration(),
        {"link.receiver_setting": 3.0, "ledger.budget_bits_per_weight": 0.25},
    )
    assert load_configuration(second) == expected
    assert main(["config", "show", "--config", str(first), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["link"]["receiver_setting"] == 3.0
    assert set(tomllib.loads(second.read_text())) == set(shown)
