"""`veilight certify`: from a run's folder to signed statements and back."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.certificates import canonical_json, read_private_key
from veilight.cli import main

Certify = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short session of a small network, with ledgers on disk."""
    base = tmp_path_factory.mktemp("certify")
    model = base / "m.safetensors"
    train = ["train", "--save", str(model), "--hidden", "8", "--epochs", "1", "--quiet"]
    assert main(train) == 0
    infer = ["infer", str(model), "--signal-to-noise", "0.1,0.1", "--receiver", "amplifier"]
    infer += ["--setting", "1.3", "--samples", "20", "--out", str(base / "run"), "--quiet"]
    infer += ["--new-ledger", str(base / "w.ledger"), "--new-data-ledger", str(base / "d.ledger")]
    assert main([*infer, "--seed", "1"]) == 0
    return base / "run"


@pytest.fixture
def certify(capsys: pytest.CaptureFixture[str]) -> Certify:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["certify", *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_certificates_are_written_signed_and_verified_when_a_run_is_certified(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    status, out, _ = certify("keys", key)
    assert status == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = (tmp_path / "key.pem.pub").read_text().strip()
    assert public in out.replace("\n", "")

    status, out, _ = certify(run_folder, "--key", key, "--overwrite", "--plots", tmp_path / "plots")
    assert status == 0
    for words in ("SIMULATED", "Bits per weight, at most", "Trusted and not", "Signed."):
        assert words in out
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "leakage-layer-1.png",
        "leakage-layer-3.png",
    ]
    server = json.loads((run_folder / "certificate.server.json").read_text())["statement"]
    client = json.loads((run_folder / "certificate.client.json").read_text())["statement"]
    assert (server["side"], client["side"]) == ("server", "client")
    assert server["simulated"] is client["simulated"] is True
    assert 0 < server["total"]["worst_bits_per_value"] <= server["layers"][0]["bits_untested"]
    assert (server["ledger"]["charge_rule"], client["ledger"]["charge_rule"]) == (
        "copies apart",
        None,
    )
    assert client["ledger"]["charged_bits"] == client["total"]["all_sessions_worst_bits"] > 0
    for name in ("server", "client"):
        file = run_folder / f"certificate.{name}.json"
        status, out, _ = certify("verify", file, "--public-key", tmp_path / "key.pem.pub")
        assert status == 0
        assert "ledger head, thresholds, result and numbers match" in out


def test_certificates_are_held_to_the_ledgers_themselves_when_these_are_given(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    """The server's thresholds stand in its ledger's first debit of the session."""
    key = tmp_path / "key.pem"
    assert certify("keys", key)[0] == 0
    status, out, _ = certify(run_folder, "--key", key, "--overwrite")
    assert status == 0
    assert "in entry 2 of the ledger" in out
    for words in ("Tests over the session", "running gain", "outcome floor"):
        assert words in out
    ledgers = {"server": "w.ledger", "client": "d.ledger"}
    for side, ledger in ledgers.items():
        file = run_folder / f"certificate.{side}.json"
        status, out, _ = certify("verify", file, "--ledger", run_folder.parent / ledger)
        assert status == 0
        assert "its chain holds the head" in out.replace("\n", " ")
    file = run_folder / "certificate.server.json"
    status, _, error = certify("verify", file, "--ledger", run_folder.parent / "d.ledger")
    assert status == 5
    assert "ledger head: " in error
    assert "thresholds in the ledger: " in error
    status, _, error = certify("verify", file, "--ledger", tmp_path / "none")
    assert status == 4
    assert "no ledger there" in error


def test_verification_fails_and_names_it_when_something_was_changed(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    assert certify("keys", key)[0] == 0
    assert certify(run_folder, "--key", key, "--overwrite", "--quiet")[0] == 0
    file = run_folder / "certificate.server.json"
    certificate = json.loads(file.read_text())
    certificate["statement"]["total"]["worst_bits_per_value"] = 1e-9
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(certificate))
    status, _, error = certify("verify", altered, "--result", run_folder / "result.json")
    assert status == 5
    assert "signature: the statement was altered" in error
    assert "numbers: not what the record gives: total.worst_bits_per_value" in error

    result = json.loads((run_folder / "result.json").read_text())
    result["runs"][0]["certificate"]["ledger"]["entries"] += 1
    result["runs"][0]["certificate"]["thresholds"]["false_alarm"] = 0.01
    other = tmp_path / "result.json"
    other.write_text(json.dumps(result))
    status, _, error = certify("verify", file, "--result", other)
    assert status == 5
    for words in ("ledger head: ", "thresholds: ", "result: "):
        assert words in error
    assert "signature: " not in error


def test_certificate_of_the_format_before_still_verifies_and_says_what_it_is(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    """Signed as the version before signed it: its bits are its own, all else must match."""
    key = tmp_path / "key.pem"
    assert certify("keys", key)[0] == 0
    assert certify(run_folder, "--key", key, "--overwrite", "--quiet")[0] == 0
    written = json.loads((run_folder / "certificate.server.json").read_text())
    statement = written["statement"] | {"format": "veilight certificate 2"}
    del statement["total"]["worst_bits_with_memory"]
    for layer in statement["layers"]:
        del layer["bits_with_memory"]
        layer["bits_per_value"] *= 0.9
    signer = read_private_key(key)
    value = signer.sign(b"veilight certificate 1\n" + canonical_json(statement)).hex()
    old = tmp_path / "old.json"
    old.write_text(
        json.dumps({"statement": statement, "signature": written["signature"] | {"value": value}})
    )
    arguments = ("verify", old, "--result", run_folder / "result.json")
    status, out, _ = certify(*arguments, "--public-key", f"{key}.pub")
    assert status == 0
    assert "its bits were not compared" in " ".join(out.split()).lower()
    status, out, _ = certify(*arguments, "--json")
    assert status == 0
    assert json.loads(out)["earlier_format"].startswith("veilight certificate 2, ")

    today = json.loads((run_folder / "certificate.server.json").read_text())
    assert today["statement"]["format"] == "veilight certificate 3"
    status, out, _ = certify("verify", run_folder / "certificate.server.json", "--json")
    assert (status, json.loads(out)["earlier_format"]) == (0, None)


def test_statement_shows_what_a_memory_could_get_and_at_what_calibrations_are_charged(
    run_folder: Path, certify: Certify
) -> None:
    status, out, _ = certify(run_folder, "--overwrite")
    assert status == 0
    for words in (
        "with memory",
        "With a memory over copies, which no test looks for",
        "deviations",
    ):
        assert words in out
    server = json.loads((run_folder / "certificate.server.json").read_text())["statement"]
    for layer in server["layers"]:
        assert layer["bits_per_value"] <= layer["bits_with_memory"] <= layer["bits_untested"]
    assert server["total"]["worst_bits_with_memory"] > server["total"]["worst_bits_per_value"]


def test_real_light_is_refused_when_the_run_was_simulated(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    assert certify("keys", tmp_path / "k")[0] == 0
    assert certify(run_folder, "--key", tmp_path / "k", "--overwrite")[0] == 0
    file = run_folder / "certificate.server.json"
    status, _, error = certify("verify", file, "--real-light")
    assert status == 5
    assert "SIMULATED" in error


def test_certificate_is_unsigned_and_says_so_when_no_key_is_given(
    run_folder: Path, certify: Certify
) -> None:
    status, out, _ = certify(run_folder, "--overwrite", "--quiet", "--confidence", "0.99")
    assert status == 0
    assert "UNSIGNED" in out
    status, _, error = certify("verify", run_folder / "certificate.server.json")
    assert status == 5
    assert "there is none" in error
    status, out, _ = certify(run_folder, "--overwrite", "--json")
    assert status == 0
    assert set(json.loads(out)) == {"server", "client", "files"}


def test_certify_refuses_when_the_folder_or_the_options_do_not_fit(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    assert certify(run_folder, "--overwrite")[0] == 0
    status, _, error = certify(run_folder)
    assert status == 6
    assert "exists already" in error
    status, _, error = certify(tmp_path)
    assert status == 3
    assert "result.json: cannot be read" in error
    status, _, error = certify(run_folder, "--overwrite", "--run", "2")
    assert status == 2
    assert "1 run, not 2" in error
    stranger = tmp_path / "stranger.json"
    stranger.write_text(json.dumps({"runs": [{"title": "b"}]}))
    file = run_folder / "certificate.client.json"
    status, _, error = certify("verify", file, "--result", stranger)
    assert status == 3
    assert "does not hold the run" in error
    old = {"runs": [{"title": "a"}]}
    (tmp_path / "result.json").write_text(json.dumps(old))
    status, _, error = certify(tmp_path)
    assert status == 3
    assert "written by an older veilight" in error
    status, _, error = certify(run_folder, "--overwrite", "--confidence", "1")
    assert status == 2
    assert "confidence is 1" in error


def test_certificates_take_all_sessions_tests_together_when_a_ledger_has_more_than_one(
    run_folder: Path, certify: Certify, tmp_path: Path
) -> None:
    base, again, ledger = run_folder.parent, tmp_path / "again", tmp_path / "w.ledger"
    for name in ("w.ledger", "w.ledger.head"):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    infer = ["infer", str(base / "m.safetensors"), "--signal-to-noise", "0.1,0.1"]
    infer += ["--receiver", "amplifier", "--setting", "1.3", "--samples", "20", "--quiet"]
    infer += ["--out", str(again), "--ledger", str(ledger), "--seed", "2"]
    assert main(infer) == 0
    status, out, _ = certify(again)
    assert status == 0
    assert "All sessions of the ledger, 100 % of their light tested" in out.replace("\n", " ")
    file = again / "certificate.server.json"
    total = json.loads(file.read_text())["statement"]["total"]
    result = json.loads((again / "result.json").read_text())
    assert total["all_sessions_tested_share"] == pytest.approx(1.0)
    assert total["all_sessions_worst_bits"] > 0

    # Whoever makes the sums look better is found by the ledger.
    for layer in result["runs"][0]["certificate"]["layers"]:
        layer["pooled"][0]["tested_x"]["residual_energy_snu"] *= 0.9
    forged = tmp_path / "result.json"
    forged.write_text(json.dumps(result))
    status, _, error = certify("verify", file, "--ledger", ledger, "--result", forged)
    assert status == 5
    assert "the run has other sums than the ledger" in error.replace("\n", " ")
