"""`veilight driver new`: what it writes passes the checks of the project as it is.

The drivers are written into a copy of the checkout, never into the checkout itself.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from veilight.cli import main
from veilight.scaffold import KINDS, NewDriver

ROOT = Path(__file__).parents[2]
COPIED = ("veilight", "protocol", "calibration", "sim_backend", "drivers")
TESTS = ("tests/wire", "tests/contract/instruments")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    for folder in (*COPIED, *TESTS):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / file, root / file)
    return root


def written(root: Path, kind: str, backend: str, model: str) -> NewDriver:
    """A driver in the copy, by the command."""
    command = ["driver", "new", f"Acme {model}", "--kind", kind, "--backend", backend]
    assert main([*command, "--root", str(root)]) == 0
    return NewDriver.named(f"Acme {model}", maker=None, kind=kind, backend=backend)


def passes(root: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def checked(root: Path, drivers: list[NewDriver]) -> None:
    """Format, lint, dialogues and the whole suite of the kind."""
    paths = [path for new in drivers for path in new.paths().values()]
    python = [path for path in paths if path.endswith(".py")]
    catalogues = ["drivers/catalogue.py", "sim_backend/wire/catalogue.py"]
    passes(root, "ruff", "check", "--no-cache", *python, *catalogues)
    passes(root, "ruff", "format", "--no-cache", "--check", *python, *catalogues)
    tests = [path for path in python if "/test_" in path]
    suites = [
        f"tests/contract/instruments/test_{new.place.name.replace('-', '_')}_contract.py"
        for new in drivers
    ]
    names = " or ".join(new.slug for new in drivers)
    out = passes(root, "pytest", "-q", "-p", "no:cacheprovider", "-k", names, *tests, *suites)
    assert " passed" in out
    found = passes(root, "pytest", "-q", "--collect-only", "-k", names, *suites)
    for new in drivers:
        assert found.count(f"[{new.slug}") > 10, f"the suite does not know {new.full_name}"


def test_three_kinds_pass_their_suites_as_they_are_written(copy: Path) -> None:
    checked(
        copy,
        [
            written(copy, "laser", "serial", "Fast 1"),
            written(copy, "switch", "visa", "Fast 2"),
            written(copy, "power-meter", "visa", "Fast 3"),
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["visa", "serial"])
def test_all_kinds_pass_everything_as_they_are_written(copy: Path, backend: str) -> None:
    drivers = [
        written(copy, kind, backend, f"{backend}-{number}") for number, kind in enumerate(KINDS)
    ]
    checked(copy, drivers)
    python = [p for new in drivers for p in new.paths().values() if p.endswith(".py")]
    passes(copy, "mypy", "--explicit-package-bases", *python)


def test_written_driver_is_a_model_of_bench_files(copy: Path) -> None:
    written(copy, "attenuator", "visa", "Bench 1")
    out = passes(copy, "veilight", "driver", "show", "Acme Bench 1")
    assert "experimental, confidence low" in out
    assert 'model = "Acme Bench 1"' in out


def test_second_driver_of_a_name_is_refused_and_changes_nothing(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = written(copy, "laser", "visa", "Twice 1")
    path = copy / new.paths()["driver"]
    path.write_text("# changed since\n" + path.read_text())
    before = path.read_bytes()
    command = ["driver", "new", "Acme Twice 1", "--kind", "laser", "--root", str(copy)]
    assert main(command) == 2
    assert "exists and is left as it is" in capsys.readouterr().err
    assert path.read_bytes() == before
