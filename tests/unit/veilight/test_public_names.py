"""The public API: its names exist, cost nothing until used, and come from the right packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import veilight

ROOT = Path(veilight.__file__).resolve().parent.parent


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", veilight.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(veilight, name) is not None
    assert name in dir(veilight)


def test_public_names_are_in_order_and_unknown_ones_are_refused() -> None:
    assert veilight.__all__ == sorted(veilight.__all__)
    with pytest.raises(AttributeError, match="'veilight' has no attribute 'telescope'"):
        _ = veilight.telescope


def test_import_veilight_loads_no_heavy_package(tmp_path: Path) -> None:
    done = _python(
        "import sys, veilight\n"
        "print([m for m in ('numpy', 'torch', 'scipy', 'pydantic') if m in sys.modules])",
        tmp_path,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", ["protocol", "calibration", "sim_backend", "drivers"])
@pytest.mark.parametrize("as_package", [True, False])
def test_import_veilight_names_both_paths_when_a_package_is_someone_elses(
    tmp_path: Path, name: str, as_package: bool
) -> None:
    if as_package:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        other = tmp_path / name
    else:
        other = tmp_path / f"{name}.py"
        other.write_text("")
    done = _python("import veilight", tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: the package {name!r} resolves to {other.resolve()}")
    assert str(ROOT / name) in last


def test_import_veilight_says_so_when_a_package_is_missing() -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'drivers' else real(name)\n"
        "import veilight\n"
    )
    done = _python(code, ROOT)
    assert done.stderr.strip().splitlines()[-1].startswith("ImportError: veilight needs its pack")
