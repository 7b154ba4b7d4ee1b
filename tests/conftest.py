"""Fixtures for all tests: data sets that are too large to be part of the repository."""

import os
from pathlib import Path

import pytest

_MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Folder with the four gzipped MNIST files; skips the test where there is none.

    It is the folder that the environment variable VEILIGHT_MNIST names, or else
    ``shared/data/mnist`` in the repository or in a folder around it.
    """
    root = Path(__file__).resolve().parent.parent
    candidates = [folder / "shared" / "data" / "mnist" for folder in (root, *root.parents)]
    named = os.environ.get("VEILIGHT_MNIST")
    if named:
        candidates = [Path(named)]
    for folder in candidates:
        if all((folder / name).is_file() for name in _MNIST_FILES):
            return folder
    pytest.skip(
        "needs the four MNIST files; name their folder in VEILIGHT_MNIST. Looked in "
        + ", ".join(map(str, candidates))
    )
