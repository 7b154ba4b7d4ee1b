"""Tables on narrow screens: no number and no column is lost."""

import pytest

from veilight.cli._fitting import fitted

COLUMNS = ("layer", "copies of a weight", "any measurement", "note")
ROWS = (("layer 1 (128 x 65)", "12,544", "0.000375", "at most, in the worst case"),)
NUMBERS = (1, 2)


def test_fitted_leaves_a_table_alone_when_it_fits() -> None:
    assert fitted(COLUMNS, ROWS, numbers=NUMBERS, width=120) == [([0, 1, 2, 3], list(COLUMNS))]


def test_fitted_folds_headings_of_numbers_first_when_the_screen_is_narrow() -> None:
    # Words of 6, 8 and 5 letters, headings of 18 and 15: 52 + 9 + 2 unfolded; 7 + 11 folded.
    parts = fitted(COLUMNS, ROWS, numbers=NUMBERS, width=50)
    assert parts == [([0, 1, 2, 3], ["layer", "copies\nof a\nweight", "any\nmeasurement", "note"])]


@pytest.mark.parametrize("width", [1, 20, 26, 33])
def test_fitted_goes_on_below_with_the_first_column_when_folding_is_not_enough(width: int) -> None:
    parts = fitted(COLUMNS, ROWS, numbers=NUMBERS, width=width)
    assert len(parts) > 1
    assert all(shown[0] == 0 and len(shown) > 1 for shown, _ in parts)
    assert [index for shown, _ in parts for index in shown[1:]] == [1, 2, 3]


def test_fitted_takes_a_table_without_rows() -> None:
    assert fitted(("", "a b"), (), numbers=(0, 1), width=4) == [([0, 1], ["", "a\nb"])]
