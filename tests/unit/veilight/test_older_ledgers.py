"""A run on a ledger of an older version: goes on, and says what is assumed of its light."""

import json
from pathlib import Path

import pytest

from protocol.ledger import WeightLedger
from protocol.models.files import save_model
from tests.unit.protocol.ledgers import older_debit, older_ledger
from tests.unit.protocol.session_bench import perceptron
from veilight.cli import main

_MODEL = perceptron((64, 12, 10))


def _infer(folder: Path, ledger: Path) -> int:
    save_model(_MODEL, folder / "model.safetensors", overwrite=True)
    settings = ["--data", "digits", "--samples", "20", "--seed", "1", "--signal-to-noise", "4,4"]
    place = ["--ledger", str(ledger), "--out", str(folder / "out"), "--overwrite"]
    return main(["infer", str(folder / "model.safetensors"), *settings, *place])


@pytest.mark.parametrize("photons", [0.0, 0.125], ids=["nothing sent", "light sent"])
def test_infer_says_what_is_assumed_when_the_ledger_is_of_an_older_version(
    photons: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, layers = tmp_path / "weights.ledger", {0: 12, 2: 10}
    rows = [older_debit(photons, rows=12), ("settle", {"entries": [2], "verified": True})]
    older_ledger(path, rows, model_digest=_MODEL.digest, layers=layers, budget=100.0)
    assert _infer(tmp_path, path) == 0
    told = " ".join(capsys.readouterr().out.split())
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    written = json.loads((tmp_path / "out" / "result.json").read_text())["runs"][0]
    assert [layer["untold_photons_in_ledger"] for layer in written["layers"]] == [photons, 0.0]
    said = f"{path}: 0.125 photons per weight were written down by an older version"
    assert (said in told) == bool(photons)
    assert ("written down by an older version" in page) == bool(photons)
    with WeightLedger.open(path, _MODEL.digest) as ledger:
        found = ledger.light(0)
        (channel,) = {entry.channel for entry in ledger.entries() if entry.layer == 0} - {None}
    assert channel is not None
    # All of the layer came back like the new session's.
    assert found.verified[0] > photons
    assert found.returned == pytest.approx(channel.transmittance * found.verified)
    assert found.noise_x == pytest.approx(channel.excess_noise_x_snu * found.returned)
