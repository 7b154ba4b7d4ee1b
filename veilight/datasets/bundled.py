"""The data set that comes with scikit-learn: a first run needs no download and no file."""

import numpy as np

from veilight.datasets._build import build_by_split
from veilight.datasets._types import TrainTest

__all__ = ["load_digits"]


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
