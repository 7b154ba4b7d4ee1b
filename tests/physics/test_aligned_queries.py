"""The client who matches the rows of disguised queries before it averages them."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError, VeilightError
from protocol.defences.settings import Defences
from sim_backend.reconstruction import weight_gain
from sim_backend.reconstruction.aligned_queries import (
    AlignmentKnowledge,
    AlignmentWay,
    DisguisedCopies,
    align_and_average,
    average_in_place,
    disguised_copies,
)
from veilight.defences_measured import measure_defence, refuse_points_above_bounds

UNITS, MODES, FRACTION = 24, 96, 0.2


def copies_of(
    kept_photons: float,
    queries: int,
    *,
    permute: bool = True,
    dummies: int = 0,
    rescale: float = 1.0,
    photons: float = 1.0,
) -> tuple[DisguisedCopies, AlignmentKnowledge]:
    """Copies of Gaussian rows of which `kept_photons` per weight and query are kept."""
    variance = 4 * kept_photons / FRACTION
    known = AlignmentKnowledge(
        fraction=FRACTION, signal_variance_snu=variance, rescale=rescale, photons=photons
    )
    means = math.sqrt(variance) * np.random.default_rng(3).standard_normal((UNITS, MODES))
    generator = np.random.default_rng(4)
    copies = disguised_copies(
        generator, means, known, queries=queries, permute=permute, dummies=dummies
    )
    return copies, known


def test_copies_hold_the_rows_where_they_say_when_the_light_is_bright() -> None:
    copies, _ = copies_of(1e8, 3, dummies=5, rescale=1.5, photons=2.0)
    assert copies.light.shape == (3, UNITS + 5, MODES)
    for query in range(3):
        rows = copies.light[query][copies.places[query]]
        # One positive factor per row.
        cosines = np.sum(rows * copies.first_means, axis=1) / (
            np.linalg.norm(rows, axis=1) * np.linalg.norm(copies.first_means, axis=1)
        )
        assert cosines == pytest.approx(1.0, abs=1e-6)
        energy = np.mean(rows**2) / (FRACTION * 4e8 / FRACTION)
        assert energy / copies.energies[query] == pytest.approx(1.0, rel=0.05)
        assert 0.5 <= copies.energies[query] <= 2.0


@pytest.mark.parametrize("way", ["assignment", "probabilities"])
@pytest.mark.parametrize(
    ("dummies", "rescale"), [(0, 1.0), (8, 1.0), (0, 1.5)], ids=["permute", "dummies", "rescale"]
)
def test_matching_undoes_the_disguise_when_rows_are_clear(
    way: AlignmentWay, dummies: int, rescale: float
) -> None:
    # A row's signal-to-noise ratio is 4 x 0.3 x 96 = 115: rows are told apart at sight.
    copies, known = copies_of(0.3, 12, dummies=dummies, rescale=rescale)
    estimate, share = align_and_average(copies, known, way=way)
    naive = average_in_place(copies, known)
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (estimate, naive)]
    truth = copies.first_means / np.linalg.norm(copies.first_means, axis=1, keepdims=True)
    gain = weight_gain(estimate / lengths[0], truth).signal_to_noise
    assert share > 0.97
    # 2304 weights: the standard error of a ratio is about 2 in sqrt(2304), 4 %; rows at other
    # scales share the photons unevenly.
    assert gain == pytest.approx(12 * 4 * 0.3, rel=0.3)
    assert weight_gain(naive / lengths[1], truth).signal_to_noise < gain / 20


def test_matching_finds_nothing_when_rows_drown() -> None:
    # 4 x 0.004 x 96 = 1.5: far below what 24 rows take to be told apart.
    copies, known = copies_of(0.004, 16)
    estimate, share = align_and_average(copies, known, way="probabilities")
    assert share < 0.12
    plain = 16 * 4 * 0.004
    assert weight_gain(estimate, copies.first_means).signal_to_noise < plain / 3


def test_second_moments_help_when_the_rows_fill_few_directions() -> None:
    generator = np.random.default_rng(6)
    low = generator.standard_normal((UNITS, 4)) @ generator.standard_normal((4, MODES))
    variance = 4 * 0.02 / FRACTION
    means = low * math.sqrt(variance / np.mean(low**2))
    known = AlignmentKnowledge(fraction=FRACTION, signal_variance_snu=variance)
    copies = disguised_copies(generator, means, known, queries=16, permute=True, dummies=0)
    flat, _ = align_and_average(copies, known, way="probabilities")
    shaped, _ = align_and_average(copies, known, way="probabilities", second_moments=True)
    gains = [weight_gain(e, copies.first_means).signal_to_noise for e in (flat, shaped)]
    assert gains[1] > 1.5 * gains[0]


@pytest.mark.parametrize("text", ["none", "permute", "permute,rescale=1.5,dummies=6,photons=2"])
def test_no_attack_beats_the_bound_of_copies_of_the_same_weights(text: str) -> None:
    points = measure_defence(
        Defences.parse(text),
        photons_per_symbol=0.4,
        fraction=FRACTION,
        queries=(1, 4, 12),
        rows=UNITS,
        modes=MODES,
        seed=2,
    )
    refuse_points_above_bounds(points)
    assert [point.queries for point in points] == [1, 4, 12]
    for point in points:
        assert point.aligned.bits <= point.bits_homodyne + 6 * point.aligned.bits_error
        assert point.aligned.bits >= point.naive.bits
    # 4 x 0.08 x 96 = 31: matched, but not at once.
    assert points[-1].aligned.signal_to_noise > points[0].aligned.signal_to_noise


def test_gain_above_its_bound_is_refused() -> None:
    points = measure_defence(
        Defences(permute=True),
        photons_per_symbol=0.4,
        fraction=FRACTION,
        queries=(1,),
        rows=UNITS,
        modes=MODES,
        seed=2,
    )
    object.__setattr__(points[0], "bits_holevo", 1e-3)
    with pytest.raises(VeilightError, match="report this"):
        refuse_points_above_bounds(points)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"queries": 0}, "number of queries"), ({"dummies": -1}, "number of dummies")],
)
def test_copies_are_refused_when_a_count_is_out_of_range(
    changes: dict[str, int], words: str
) -> None:
    numbers = {"queries": 2, "dummies": 0, **changes}
    known = AlignmentKnowledge(fraction=0.5, signal_variance_snu=1.0)
    with pytest.raises(ConfigurationError, match=words):
        disguised_copies(np.random.default_rng(0), np.ones((2, 3)), known, permute=True, **numbers)
