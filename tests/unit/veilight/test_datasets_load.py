import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import veilight.datasets
from drivers.errors import DataError
from veilight.datasets import load, load_csv, load_digits, load_idx_folder, load_npz

TABLE = "a,b,kind,label\n" + "".join(f"{row},{row * row},{row % 2},0\n" for row in range(20))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_archive(path: Path) -> Path:
    np.savez(path, x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    return path


def test_load_reads_digits_when_named(here: Path) -> None:
    (here / "digits").mkdir()
    assert load("digits", test_fraction=0.3, seed=4) == load_digits(test_fraction=0.3, seed=4)


def test_load_reads_the_folder_when_path_is_one(mnist_folder: Path) -> None:
    assert load(mnist_folder).test == load_idx_folder(mnist_folder).test


def test_load_reads_the_archive_when_path_is_one(here: Path) -> None:
    path = write_archive(here / "own.npz")
    expected = load_npz(path, test_fraction=0.4, seed=1)
    assert load("own.npz", test_fraction=0.4, seed=1) == expected
    assert load(path, test_fraction=0.4, seed=1) == expected
    with pytest.raises(DataError, match="the cap is 10 bytes"):
        load(path, maximum_bytes=10)


def test_load_reads_the_table_when_path_is_one(here: Path) -> None:
    path = here / "own.CSV"
    path.write_text(TABLE)
    expected = load_csv(path, label_column="kind", test_fraction=0.4, seed=1)
    assert load("own.CSV", label_column="kind", test_fraction=0.4, seed=1) == expected
    with pytest.raises(DataError, match="the cap of 10 bytes"):
        load(path, label_column="kind", maximum_bytes=10)


def test_load_opens_the_tilde_when_path_begins_with_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    write_archive(here / "own.npz")
    assert load("~/own.npz") == load(here / "own.npz")
    with pytest.raises(DataError, match="no such home folder"):
        load("~nobody-of-this-name/own.npz")


@pytest.mark.parametrize("spec", ["./digits", "./mnist"])
def test_load_means_the_path_when_a_known_name_has_a_dot(here: Path, spec: str) -> None:
    (here / spec).mkdir()
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        load(spec)


def test_load_means_the_path_when_given_a_path_object(here: Path) -> None:
    with pytest.raises(DataError, match="data set digits is no known name, file or folder"):
        load(Path("digits"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("MNIST", "is no known name, file or folder. Did you mean mnist?"),
        ("fashion_mnist", "Did you mean fashion-mnist?"),
        ("xyzzy", "is no known name, file or folder. Give one of digits, breast-cancer, mnist"),
        ("own.txt", "data set own.txt is a file of an unknown kind. Give"),
        ("absent.npz", "there is no file absent.npz"),
        ("absent.csv", "there is no file absent.csv"),
        ("nul\0byte", "is no known name, file or folder"),
    ],
)
def test_load_says_what_is_known_when_spec_is_not(here: Path, spec: str, message: str) -> None:
    (here / "own.txt").touch()
    with pytest.raises(DataError) as caught:
        load(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize("spec", ["digits", "own.npz"])
def test_load_refuses_a_label_column_when_there_are_no_columns(here: Path, spec: str) -> None:
    write_archive(here / "own.npz")
    with pytest.raises(DataError, match=r"a label column \('kind'\) was named, but only a \.csv"):
        load(spec, label_column="kind")


def test_datasets_exports_what_it_says_when_imported() -> None:
    assert all(hasattr(veilight.datasets, name) for name in veilight.datasets.__all__)
    assert veilight.datasets.__all__ == sorted(
        veilight.datasets.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )


def test_datasets_imports_nothing_heavy_when_imported() -> None:
    program = (
        "import sys, veilight.datasets;"
        "print(sorted({'sklearn', 'scipy', 'torch', 'pandas', 'matplotlib', 'urllib.request'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "[]"
