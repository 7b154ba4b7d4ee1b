"""Every example of the documentation is run."""

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.short_records import shorten_records

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
CHECKOUT = (
    "pyproject.toml",
    "drivers/catalogue.py",
    "sim_backend/wire/catalogue.py",
    "tests/wire/rigs.py",
)
LANGUAGE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for found, text in LANGUAGE.findall(page.read_text())
        if found == language
    ]


@pytest.mark.parametrize(("page", "code"), _blocks("python"), ids=lambda v: v[:20])
def test_python_block_runs_when_copied_from_the_page(page: str, code: str) -> None:
    exec(compile(code, page, "exec"), {"__name__": "__main__"})


def test_python_blocks_are_found_when_pages_are_searched() -> None:
    assert any(page == "first-run.md" for page, _ in _blocks("python"))


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_example_prints_something_when_run(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()


def _commands() -> list[str]:
    text = "\n".join(code for _, code in _blocks("sh"))
    lines = [line for line in text.splitlines() if line.startswith("veilight ")]
    return [line for line in lines if line != "veilight demo"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader is: the example benches, and the parts of a checkout that are written to."""
    for file in (ROOT / "examples" / "benches").glob("*.toml"):
        shutil.copy(file, tmp_path)
    shorten_records(tmp_path / "server.toml")
    for name in CHECKOUT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def _twins(arguments: list[str]) -> Iterator[None]:
    """The twins of bench files, as in another terminal, until they are interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "veilight", "twin", *arguments, "--speed", "20", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["twins"]
        yield
    finally:
        # Not SIGINT: programs that were started in the background ignore it.
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in (0, 143)
        assert process.stdout is not None
        process.stdout.close()


def test_shell_commands_of_the_pages_run_in_their_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from veilight.cli import main

    seen = set()
    with ExitStack() as terminals:
        for line in _commands():
            command, _, target = line.partition(" > ")
            if command in seen:
                continue
            seen.add(command)
            arguments = shlex.split(command)[1:]
            if arguments[0] == "twin":
                terminals.enter_context(_twins(arguments[1:]))
                continue
            assert main(arguments) == 0, line
            out = capsys.readouterr().out
            if target:
                (folder / target).write_text(out)
    assert {command.split()[1] for command in seen} == {
        "attack",
        "cost",
        "train",
        "infer",
        "leakage",
        "config",
        "bench",
        "calibrate",
        "driver",
        "frontier",
        "twin",
        "renew",
        "reconstruct",
    }
    assert main(["config", "show", "--config", "veilight.toml"]) == 0


@pytest.mark.parametrize(("page", "text"), _blocks("toml"), ids=lambda v: v[:20])
def test_toml_block_can_be_read(page: str, text: str) -> None:
    assert tomllib.loads(text), page


@pytest.mark.parametrize(("page", "text"), _blocks("py"), ids=lambda v: v[:40])
def test_excerpt_stands_in_the_file_that_it_names(page: str, text: str) -> None:
    first, _, excerpt = text.partition("\n")
    assert excerpt in (ROOT / first.removeprefix("# ")).read_text(), page


def test_settings_of_calibration_on_the_pages_are_those_of_routines(folder: Path) -> None:
    from drivers.bench import load_bench
    from veilight.bench_session import routines_for

    said: dict[str, object] = {}
    for _, text in _blocks("toml"):
        said |= tomllib.loads(text).get("calibration", {})
    assert said
    registry = routines_for((load_bench(folder / "lab-server.toml"),))
    for key, value in said.items():
        if isinstance(value, dict):
            assert set(value) <= set(registry.get(key).defaults), key
        else:
            assert any(key in registry.get(name).defaults for name in registry.names), key


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
