"""The data sets that come with scikit-learn: a first run needs no download and no file."""

import numpy as np

from veilight.datasets._build import build_by_split
from veilight.datasets._types import TrainTest

__all__ = ["load_breast_cancer", "load_digits"]


def load_digits(*, test_fraction: float = 0.2, seed: int = 0) -> TrainTest:
    """Load the 1797 handwritten digits of 8 x 8 pixels that scikit-learn bundles.

    They are the test part of Alpaydin and Kaynak, Optical Recognition of Handwritten Digits,
    UCI Machine Learning Repository, DOI 10.24432/C50P49. Each pixel counts the dark points in a
    4 x 4 block of the scan, 0 to 16.

    Args:
        test_fraction: Fraction of each class for the test part, above 0 and below 1.
        seed: Seed of the split, 0 or above.

    Returns:
        Both parts; inputs ``(samples, 8, 8)``, value range 0 to 16.

    Raises:
        DataError: If the fraction or the seed is out of range.
    """
    import sklearn
    import sklearn.datasets

    digits = sklearn.datasets.load_digits()
    return build_by_split(
        name="digits",
        source=f"digits bundled with scikit-learn {sklearn.__version__}",
        whole=(digits.images.astype(np.float32), digits.target.astype(np.int64)),
        test_fraction=test_fraction,
        seed=seed,
        value_range=(0.0, 16.0),
    )


def load_breast_cancer(*, test_fraction: float = 0.2, seed: int = 0) -> TrainTest:
    """Load the 569 breast-cancer records of 30 measurements that scikit-learn bundles.

    Wolberg, Mangasarian, Street and Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine
    Learning Repository, DOI 10.24432/C5DW2B. Class 0 is malignant, 1 benign; the measurements
    describe cell nuclei and have units of their own, in ranges from 0.01 to 4254.

    Args:
        test_fraction: Fraction of each class for the test part, above 0 and below 1.
        seed: Seed of the split, 0 or above.

    Returns:
        Both parts; inputs ``(samples, 30)``, value range that of the training part.

    Raises:
        DataError: If the fraction or the seed is out of range.
    """
    import sklearn
    import sklearn.datasets

    records = sklearn.datasets.load_breast_cancer()
    return build_by_split(
        name="breast-cancer",
        source=f"breast-cancer records bundled with scikit-learn {sklearn.__version__}",
        whole=(records.data.astype(np.float32), records.target.astype(np.int64)),
        test_fraction=test_fraction,
        seed=seed,
    )
