"""Labelled data sets, read and checked: what the networks are trained and run on.

Owns the way from a word on the command line to arrays in memory. Nothing here scales the inputs:
they stay in the raw units of the source, and `Dataset.value_range` says what those are, so that
the scaling is the model's and is recorded with it.
"""

from veilight.datasets._load import load
from veilight.datasets._types import MAXIMUM_BYTES, MAXIMUM_CLASSES, Dataset, TrainTest
from veilight.datasets.bundled import load_breast_cancer, load_digits
from veilight.datasets.fetch import (
    PUBLIC_SOURCES,
    Progress,
    PublicSource,
    default_cache_folder,
    fetch_public,
)
from veilight.datasets.idx import load_idx_folder, read_idx
from veilight.datasets.tabular import load_csv, load_npz

__all__ = [
    "MAXIMUM_BYTES",
    "MAXIMUM_CLASSES",
    "PUBLIC_SOURCES",
    "Dataset",
    "Progress",
    "PublicSource",
    "TrainTest",
    "default_cache_folder",
    "fetch_public",
    "load",
    "load_breast_cancer",
    "load_csv",
    "load_digits",
    "load_idx_folder",
    "load_npz",
    "read_idx",
]
