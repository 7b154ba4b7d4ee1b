"""From the word that names a data set to the data: which reader a word means."""

import difflib
import os
from pathlib import Path

from drivers.errors import DataError
from veilight.datasets._types import MAXIMUM_BYTES, TrainTest
from veilight.datasets.bundled import load_breast_cancer, load_digits
from veilight.datasets.fetch import PUBLIC_SOURCES, Progress, fetch_public
from veilight.datasets.idx import load_idx_folder
from veilight.datasets.tabular import load_csv, load_npz

__all__ = ["load"]

_BUNDLED = {"digits": load_digits, "breast-cancer": load_breast_cancer}


def load(
    spec: str | os.PathLike[str],
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    label_column: str | None = None,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
    maximum_bytes: int = MAXIMUM_BYTES,
) -> TrainTest:
    """Load a data set by name or path.

    A string that is a known name means that data set, even where a file has the same name; write
    ``./mnist`` for a folder. A path object is always a path.

    Args:
        spec: ``digits`` or ``breast-cancer`` (come with scikit-learn); ``mnist``,
            ``fashion-mnist`` or ``kmnist``
            (fetched once and cached); a folder of IDX files; an ``.npz`` archive; or a ``.csv``
            table.
        test_fraction: Fraction of each class for the test part, above 0 and below 1, where the
            data have no test part of their own.
        seed: Seed of that split, 0 or above.
        label_column: Heading of the label column of a ``.csv`` table.
        cache_folder: Where fetched sets are kept; by default `default_cache_folder`.
        progress: Called as a download proceeds, see `fetch_public`.
        maximum_bytes: Cap on each array in memory, in bytes.

    Returns:
        The training and the test part, in raw units.

    Raises:
        DataError: If there is no such data set, or it is damaged, too large or cannot be fetched.
    """
    known = isinstance(spec, str) and (spec in _BUNDLED or spec in PUBLIC_SOURCES)
    path = _as_path(spec)
    is_table = not known and path.suffix.lower() == ".csv"
    if label_column is not None and not is_table:
        raise DataError(
            f"data set {os.fspath(spec)}: a label column ({label_column!r}) was named, but only a "
            ".csv table has columns; leave it out."
        )
    if known:
        return _load_known(
            str(spec),
            test_fraction=test_fraction,
            seed=seed,
            cache_folder=cache_folder,
            progress=progress,
            maximum_bytes=maximum_bytes,
        )
    if path.is_dir():
        return load_idx_folder(path, maximum_bytes=maximum_bytes)
    if is_table:
        return load_csv(
            path,
            label_column=label_column,
            test_fraction=test_fraction,
            seed=seed,
            maximum_bytes=maximum_bytes,
        )
    if path.suffix.lower() == ".npz":
        return load_npz(path, test_fraction=test_fraction, seed=seed, maximum_bytes=maximum_bytes)
    raise _unknown(spec, path)


def _as_path(spec: str | os.PathLike[str]) -> Path:
    """The path, with a leading tilde opened up."""
    try:
        return Path(spec).expanduser()
    except RuntimeError as error:
        raise DataError(f"data set {os.fspath(spec)}: no such home folder ({error}).") from error


def _load_known(
    name: str,
    *,
    test_fraction: float,
    seed: int,
    cache_folder: Path | None,
    progress: Progress | None,
    maximum_bytes: int,
) -> TrainTest:
    """Load a data set that has a name."""
    if name in _BUNDLED:
        return _BUNDLED[name](test_fraction=test_fraction, seed=seed)
    source = PUBLIC_SOURCES[name]
    folder = fetch_public(source, cache_folder=cache_folder, progress=progress)
    return load_idx_folder(folder, name=name, source=source.title, maximum_bytes=maximum_bytes)


def _unknown(spec: str | os.PathLike[str], path: Path) -> DataError:
    """The error for a word that means nothing here, with the nearest word that does."""
    names = [*_BUNDLED, *PUBLIC_SOURCES]
    nearest = difflib.get_close_matches(os.fspath(spec).lower(), names, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    what = "is a file of an unknown kind" if path.exists() else "is no known name, file or folder"
    return DataError(
        f"data set {os.fspath(spec)} {what}.{hint} Give one of {', '.join(names)}, a folder of IDX "
        "files, an .npz archive or a .csv table."
    )
