"""Writing a new driver: only into a checkout, never over a file, known in both catalogues."""

import ast
from pathlib import Path

import pytest

from drivers.catalogue import MODULES as DRIVER_MODULES
from drivers.errors import ConfigurationError, OutputError
from sim_backend.wire.catalogue import MODULES as TWIN_MODULES
from veilight.scaffold import KINDS, NewDriver, write_driver
from veilight.scaffold.writing import rendered

ROOT = Path(__file__).parents[4]
CATALOGUES = ("drivers/catalogue.py", "sim_backend/wire/catalogue.py")
NEW = NewDriver.named("Acme X1", maker=None, kind="switch", backend="visa")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for path in (*CATALOGUES, "tests/wire/rigs.py", "pyproject.toml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def modules(path: Path) -> tuple[str, ...]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "MODULES":
            assert node.value is not None
            found = ast.literal_eval(node.value)
            assert isinstance(found, tuple)
            return found
    raise AssertionError("no MODULES")


def test_files_and_catalogues_are_written_when_it_is_a_checkout(checkout: Path) -> None:
    written = write_driver(NEW, checkout)
    assert {one.path for one in written.files} == {*NEW.paths().values(), *CATALOGUES}
    assert all((checkout / one.path).is_file() for one in written.files)
    assert written.model == "Acme X1"
    assert "test_switch_contract.py -k acme_x1" in written.next_steps


def test_catalogues_know_the_modules_in_their_order(checkout: Path) -> None:
    write_driver(NEW, checkout)
    drivers, twins = (modules(checkout / path) for path in CATALOGUES)
    assert set(drivers) == {*DRIVER_MODULES, "drivers.path.acme_x1"}
    assert set(twins) == {*TWIN_MODULES, "sim_backend.wire.twins.acme_x1"}
    assert list(drivers) == sorted(drivers)
    assert list(twins) == sorted(twins)


def test_folder_is_refused_by_name_when_it_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no source checkout .* drivers/catalogue\.py"):
        write_driver(NEW, tmp_path)
    assert contents(tmp_path) == {}


def test_folder_is_refused_when_it_is_the_checkout_of_something_else(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\n')
    before = contents(checkout)
    with pytest.raises(ConfigurationError, match=r"no pyproject\.toml of veilight"):
        write_driver(NEW, checkout)
    assert contents(checkout) == before


@pytest.mark.parametrize("name", list(NEW.paths()))
def test_nothing_is_written_when_one_file_is_in_the_way(checkout: Path, name: str) -> None:
    path = checkout / NEW.paths()[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = contents(checkout)
    with pytest.raises(ConfigurationError, match=f"{path.name} exists and is left as it is"):
        write_driver(NEW, checkout)
    assert contents(checkout) == before


def test_nothing_is_written_when_a_catalogue_knows_the_module(checkout: Path) -> None:
    write_driver(NEW, checkout)
    for path in NEW.paths().values():
        (checkout / path).unlink()
    before = contents(checkout)
    with pytest.raises(ConfigurationError, match=r"knows 'drivers\.path\.acme_x1' already"):
        write_driver(NEW, checkout)
    assert contents(checkout) == before


def test_nothing_is_written_when_a_catalogue_cannot_be_read(checkout: Path) -> None:
    (checkout / CATALOGUES[1]).write_text("MODULES = ()\n")
    before = contents(checkout)
    with pytest.raises(ConfigurationError, match="by hand"):
        write_driver(NEW, checkout)
    assert contents(checkout) == before


def test_failure_to_write_is_told_with_the_file(checkout: Path) -> None:
    (checkout / "docs").write_text("a file where a folder must be")
    with pytest.raises(OutputError, match=r"docs.* cannot be written"):
        write_driver(NEW, checkout)


@pytest.mark.parametrize("backend", ["visa", "serial"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_gives_python_without_leftovers(kind: str, backend: str) -> None:
    new = NewDriver.named("Acme LX100", maker=None, kind=kind, backend=backend)
    for path, text in rendered(new).items():
        assert "{{" not in text
        assert "{%" not in text
        assert "<imports>" not in text
        assert text.endswith("\n")
        if path.endswith(".py"):
            ast.parse(text)
        assert ("SerialSettings" in text) == (
            backend == "serial" and path.startswith(("drivers", "sim_backend"))
        )
