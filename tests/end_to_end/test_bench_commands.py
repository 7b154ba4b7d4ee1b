"""`veilight bench` as its users run it: on the simulated bench, also with faults, and on paper."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import veilight
import veilight.benches
from drivers.bench import BenchFile, ModelRegistry, parse_bench
from tests.unit.drivers.bench.paper_bench import Paper, paper_registry, server_table
from veilight.cli import main

ROOT = Path(veilight.__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "benches"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for path in EXAMPLES.glob("*.toml"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VEILIGHT_TRACEBACK", raising=False)
    return ["server.toml", "client.toml"]


@pytest.fixture
def paper(files: list[str], monkeypatch: pytest.MonkeyPatch) -> Paper:
    """The file paper.toml, and instruments of paper in place of the simulated ones."""
    paper = Paper()
    Path("paper.toml").write_text(_toml(server_table()), encoding="utf-8")

    def registry_for(files: Sequence[BenchFile]) -> ModelRegistry:
        return paper_registry(paper)

    monkeypatch.setattr(veilight.benches, "registry_for", registry_for)
    return paper


def _toml(table: dict[str, Any]) -> str:
    """TOML with one line for each section and inline tables below."""

    def inline(value: object) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {inline(v)}" for key, v in value.items()) + " }"
        if isinstance(value, list):
            return "[" + ", ".join(inline(entry) for entry in value) + "]"
        return json.dumps(value)

    return "".join(f"{key} = {inline(value)}\n" for key, value in table.items())


def _merged(table: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    for key, value in other.items():
        nested = isinstance(value, dict) and isinstance(table.get(key), dict)
        table[key] = _merged(table[key], value) if nested else value
    return table


def _change(file: str, old: str, new: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert text.count(old) >= 1
    Path(file).write_text(text.replace(old, new, 1), encoding="utf-8")


def _error(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert main(["bench", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("veilight: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("veilight: ").strip()


def test_show_gives_a_row_for_each_role_when_the_files_are_right(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "show", *files]) == 0
    out = capsys.readouterr().out
    for word in (
        "simulated server (server, passive-tap)",
        "return_digitiser",
        "power_dbm -20 to 13",
    ):
        assert word in out
    assert "missing" not in out


def test_show_gives_limits_in_si_units_as_json(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "show", "--json", *files]) == 0
    benches = json.loads(capsys.readouterr().out)["benches"]
    assert [bench["party"] for bench in benches] == ["server", "client"]
    laser = benches[0]["instruments"][0]
    assert laser["limits"]["power_w"] == pytest.approx([1e-5, 10**1.3 * 1e-3])
    assert (laser["role"], laser["kind"], laser["address"]) == (
        "laser",
        "laser",
        "sim://server/laser",
    )


def test_show_says_what_is_missing_and_ends_with_usage(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("client.toml").read_text(encoding="utf-8")
    start, end = text.index("[instruments.tap_digitiser]"), text.index("[instruments.oscillator]")
    Path("client.toml").write_text(text[:start] + text[end:], encoding="utf-8")
    assert main(["bench", "show", "client.toml"]) == 2
    out = capsys.readouterr().out
    assert "missing: instruments.tap_digitiser" in out
    assert "MISSING" in out
    assert main(["bench", "show", "--json", "client.toml"]) == 2
    (bench,) = json.loads(capsys.readouterr().out)["benches"]
    assert bench["missing"] == ["instruments.tap_digitiser"]
    message = _error(capsys, 2, "check", "client.toml")
    assert message.startswith("bench file client.toml: instruments.tap_digitiser is missing, of ki")


def test_check_passes_and_emits_nothing_on_the_simulated_bench(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "check", *files]) == 0
    captured = capsys.readouterr()
    assert "The bench is well; no light was emitted." in captured.out
    assert captured.err == ""
    assert main(["bench", "check", "--json", *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is True
    checks = {finding["check"] for bench in found["benches"] for finding in bench["findings"]}
    assert checks == {
        "reachable", "identity", "safe state", "limits", "clock", "link", "errors"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "target", "check", "status"),
    [
        ("time-out", "weight_generator", "reachable", 8),
        ("setting-ignored", "return_oscillator", "limits", 8),
        ("setting-ignored", "attenuator", "limits", 8),
    ],
)
def test_check_names_the_instrument_and_the_remedy_when_it_has_a_fault(
    files: list[str],
    capsys: pytest.CaptureFixture[str],
    kind: str,
    target: str,
    check: str,
    status: int,
) -> None:
    fault = f'faults = [{{ kind = "{kind}", target = "{target}" }}]'
    _change("server.toml", "seed = 1", f"seed = 1\n{fault}")
    assert main(["bench", "check", "--json", "server.toml"]) == status
    (bench,) = json.loads(capsys.readouterr().out)["benches"]
    failed = [finding for finding in bench["findings"] if not finding["passed"]]
    assert {finding["role"] for finding in failed} == {target}
    assert check in {finding["check"] for finding in failed}
    assert all(finding["remedy"] for finding in failed)
    assert main(["bench", "check", "server.toml"]) == status
    captured = capsys.readouterr()
    assert f"Not well: {target}." in captured.out
    assert captured.err == ""


def test_check_ends_with_unsafe_when_a_safe_state_is_not_reached(
    paper: Paper, capsys: pytest.CaptureFixture[str]
) -> None:
    paper.stuck = {"return_switch._select"}
    assert main(["bench", "check", "--json", "paper.toml"]) == 9
    assert json.loads(capsys.readouterr().out)["passed"] is False


def test_safe_reads_every_instrument_back(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "safe", *files]) == 0
    assert "simulated server: safe, read back from 10 instruments" in capsys.readouterr().out


def test_safe_ends_with_unsafe_and_still_makes_all_others_safe(
    paper: Paper, capsys: pytest.CaptureFixture[str]
) -> None:
    lit = {("laser", "emission"): True, ("return_oscillator", "emission"): True}
    paper.state.update(lit)
    paper.stuck = {"laser._set_emission"}
    assert main(["bench", "safe", "--json", "paper.toml"]) == 9
    found = json.loads(capsys.readouterr().out)
    assert found["safe"] is False
    assert list(found["benches"][0]["failures"]) == ["laser"]
    assert paper.lit("laser") > 0
    assert paper.lit("return_oscillator") == 0
    assert main(["bench", "safe", "paper.toml"]) == 9
    captured = capsys.readouterr()
    assert "paper server: NOT SAFE" in captured.out
    assert "the key switch or the interlock" in captured.out
    assert captured.err == ""


def test_safe_makes_a_lit_bench_dark(paper: Paper, capsys: pytest.CaptureFixture[str]) -> None:
    paper.state["laser", "emission"] = True
    paper.state["attenuator", "shutter"] = True
    assert main(["bench", "safe", "paper.toml"]) == 0
    assert paper.lit("laser") == 0
    assert paper.state["attenuator", "shutter"] is False
    shutter = paper.calls.index("attenuator._set_shutter")
    assert shutter < paper.calls.index("laser._set_emission")
    assert "paper server: safe, read back from 10 instruments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "power_dbm_max = 13.0",
            "power_w_max = 0.02",
            "unknown key instruments.laser.limits.power_w_max; did you mean "
            "instruments.laser.limits.power_dbm_max?",
        ),
        (
            "power_dbm_max = 13.0",
            "power_dbm_max = nan",
            "instruments.laser.limits.power_dbm_max is nan; it must be a finite number",
        ),
        (
            "power_dbm_max = 13.0",
            "power_dbm_max = 40.0",
            "instruments.laser.limits.power_dbm_max is 40 dBm, outside the model's own limits of "
            "-20 to 16.99 dBm; a bench may only narrow them",
        ),
        (
            "wavelength_nm_min = 1549.0",
            "wavelength_nm_min = 1552.0",
            "instruments.laser.limits.wavelength_nm_min is 1552.0 nm, above wavelength_nm_max of "
            "1551.0 nm; exchange them",
        ),
        (
            'model = "simulated laser"',
            'model = "simulated lazer"',
            "instruments.laser.model is 'simulated lazer', which backend 'sim' does not know; did "
            "you mean simulated laser?",
        ),
        (
            '"sim://server/weight-bias"',
            '"sim://server/laser"',
            "instruments.weight_bias.address 'sim://server/laser' is also that of "
            "instruments.laser; every role needs an instrument of its own, or another channel "
            "of the same box",
        ),
        (
            "ceiling_fraction = 0.5",
            "ceiling_fraction = 0.9",
            "safety.ceiling_fraction is 0.9; input should be less than or equal to 0.5",
        ),
    ],
    ids=["unit", "nan", "beyond", "reversed", "model", "address", "ceiling"],
)
@pytest.mark.parametrize("command", ["show", "check", "safe"])
def test_every_command_ends_with_usage_and_one_line_when_a_file_is_wrong(
    files: list[str],
    capsys: pytest.CaptureFixture[str],
    command: str,
    old: str,
    new: str,
    message: str,
) -> None:
    _change("server.toml", old, new)
    assert _error(capsys, 2, command, "server.toml") == f"bench file server.toml: {message}"


def test_two_files_that_share_an_address_are_refused(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _change("client.toml", "sim://client/oscillator", "sim://server/laser")
    assert _error(capsys, 2, "check", *files) == (
        "bench file client.toml: instruments.oscillator.address 'sim://server/laser' is also that "
        "of instruments.laser in bench file server.toml; an instrument belongs to one bench"
    )


def test_an_absent_file_is_refused(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _error(capsys, 2, "safe", "absent.toml") == (
        "bench file absent.toml cannot be read: No such file or directory; check the path, or "
        "start from a file of examples/benches"
    )


def test_a_simulated_bench_loads_no_torch(files: list[str]) -> None:
    code = (
        "import sys\n"
        "from veilight.cli import main\n"
        f"status = main(['bench', 'check', '--json', *{files!r}])\n"
        "print(status, [m for m in ('torch', 'sklearn', 'matplotlib') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_every_toml_block_of_the_page_fits_into_the_example() -> None:
    page = (ROOT / "docs" / "bring-up-a-bench.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        real = 'backend = "visa"' in block or 'backend = "serial"' in block
        name = "lab-server.toml" if real else "server.toml"
        table = tomllib.loads((EXAMPLES / name).read_text(encoding="utf-8"))
        parse_bench(_merged(table, tomllib.loads(block)), "the page")
