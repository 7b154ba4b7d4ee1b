"""Every example of the documentation is run."""

import re
import runpy
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
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


def test_shell_commands_of_the_pages_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from veilight.cli import main

    for file in (ROOT / "examples" / "benches").glob("*.toml"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    seen = set()
    for line in _commands():
        command, _, target = line.partition(" > ")
        if command in seen:
            continue
        seen.add(command)
        assert main(command.split()[1:]) == 0, line
        out = capsys.readouterr().out
        if target:
            Path(target).write_text(out)
    assert {command.split()[1] for command in seen} == {
        "train",
        "infer",
        "leakage",
        "config",
        "bench",
        "calibrate",
    }
    assert main(["config", "show", "--config", "veilight.toml"]) == 0


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
