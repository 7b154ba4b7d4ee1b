import numpy as np
import sklearn.datasets

from veilight.datasets import load_breast_cancer, load_digits


def test_load_digits_returns_every_digit_once_when_split() -> None:
    data = load_digits()
    digits = sklearn.datasets.load_digits()
    reference = sorted(
        (*image.reshape(-1).tolist(), int(label))
        for image, label in zip(digits.images, digits.target, strict=True)
    )
    loaded = sorted(
        (*image.reshape(-1).tolist(), int(label))
        for part in (data.train, data.test)
        for image, label in zip(part.inputs, part.labels, strict=True)
    )
    assert loaded == reference
    assert len(loaded) == 1797


def test_load_digits_keeps_the_share_of_each_class_when_split() -> None:
    data = load_digits(test_fraction=0.25)
    counts = np.bincount(sklearn.datasets.load_digits().target)
    assert np.bincount(data.test.labels).tolist() == [round(0.25 * int(count)) for count in counts]


def test_load_digits_says_what_it_is_when_loaded() -> None:
    test = load_digits(seed=5).test
    assert (test.name, test.classes, test.value_range) == ("digits", 10, (0.0, 16.0))
    assert test.shape == (8, 8)
    assert (test.inputs.min(), test.inputs.max()) == (0.0, 16.0)
    assert "scikit-learn" in test.source
    assert "seed 5" in test.source


def test_load_digits_repeats_when_seed_is_the_same() -> None:
    assert load_digits() == load_digits()
    assert load_digits().test.sha256 != load_digits(seed=1).test.sha256


def test_load_breast_cancer_returns_every_record_once_when_split() -> None:
    data = load_breast_cancer()
    records = sklearn.datasets.load_breast_cancer()
    reference = sorted(
        (*row, label)
        for row, label in zip(
            records.data.astype(np.float32).tolist(), records.target.tolist(), strict=True
        )
    )
    loaded = sorted(
        (*row.tolist(), int(label))
        for part in (data.train, data.test)
        for row, label in zip(part.inputs, part.labels, strict=True)
    )
    assert loaded == reference
    assert (data.train.samples, data.test.samples) == (456, 113)
    assert (data.test.name, data.test.classes, data.test.shape) == ("breast-cancer", 2, (30,))


def test_load_breast_cancer_keeps_raw_units_when_loaded() -> None:
    data = load_breast_cancer(seed=3)
    assert data.train.value_range == (0.0, float(data.train.inputs.max()))
    assert data.train.value_range[1] > 2000
    assert "seed 3" in data.test.source
    assert load_breast_cancer(seed=3) == data
