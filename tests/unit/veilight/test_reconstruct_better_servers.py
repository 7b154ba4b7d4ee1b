"""Points of the better servers and the extracted network: refused above bounds, pictures drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import ConfigurationError, VerificationError
from drivers.receivers import Amplifier, FeedForwardTap
from sim_backend.reconstruction import WeightGain
from veilight.reconstruct_bounds import fano_success, share_low
from veilight.reconstruct_counting import counting_pictures, measure_counting
from veilight.reconstruct_model import fit_teacher, measure_model
from veilight.reconstruct_plots import draw_inputs, draw_model, draw_rows, write_picture
from veilight.reconstruct_probing import measure_probing, probing_pictures
from veilight.reconstruct_weights import picture_row

TAP = FeedForwardTap(tap_fraction=0.5)


def vectors() -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    values = np.random.default_rng(1).random((10, 16))
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def test_counted_point_is_refused_when_a_gain_is_above_its_bound() -> None:
    (point,) = measure_counting(Amplifier(gain=2.0), vectors(), rows=[400], trials=20, seed=2)
    point.hold()
    for wrong, words in (
        (replace(point, found_bound=0.0), "input found"),
        (replace(point, bits_cap=0.0), "bits of the identification"),
        (replace(point, local_bits_bound=0.01 * point.local_bits), "locally"),
        (replace(point, local_bits=float("nan")), "locally"),
    ):
        with pytest.raises(VerificationError, match=words):
            wrong.hold()


def test_probed_point_is_refused_when_a_gain_is_above_its_bound() -> None:
    (point,) = measure_probing(
        TAP, vectors(), probe_photons_per_mode=1.0, rows=[200], trials=20, seed=3
    )
    point.hold()
    for wrong, words in (
        (replace(point, found_bound=0.0), "input found"),
        (replace(point, found_bits_cap=0.0), "bits of the identification"),
        (replace(point, bits_stated=0.0), "bits per data value"),
    ):
        with pytest.raises(VerificationError, match=words):
            wrong.hold()


def test_extracted_point_is_refused_when_a_gain_is_above_its_bound() -> None:
    inputs = np.abs(np.random.default_rng(4).standard_normal((60, 9)))
    labels = (inputs[:, 0] > 0.7).astype(np.int64)
    teacher = fit_teacher(inputs, labels, hidden=4, seed=5)
    (point,) = measure_model(
        TAP, teacher, inputs, (inputs, labels), photons_per_symbol=1.0, queries=[500], seed=5
    )
    point.hold()
    # The client's draws share nothing with the teacher's, whatever the seed.
    assert point.student.bits < 1.0
    with pytest.raises(VerificationError, match="read layer by layer"):
        replace(point, bits_bound=0.01).hold()
    sure = WeightGain(signal_to_noise=1e6, bits=9.0, bits_error=0.01)
    with pytest.raises(VerificationError, match="a student of the outputs"):
        replace(point, student=sure).hold()
    draw_model([point], "a network")


def test_pictures_come_near_the_truth_when_more_is_counted_or_probed(tmp_path: Path) -> None:
    for series in (
        counting_pictures(Amplifier(gain=2.0), vectors(), rows=[4000, 8], seed=6),
        probing_pictures(TAP, vectors(), probe_photons_per_mode=1.0, rows=[4000, 8], seed=6),
    ):
        assert series.rows == (8, 4000)
        overlaps = np.square(series.estimates @ series.truth)
        assert overlaps[0] < overlaps[1]
        assert overlaps[1] > 0.9
        np.testing.assert_array_equal(series.likeliest[1], series.truth)
        write_picture(draw_inputs(series, "a server", "a way"), tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_row_comes_near_the_truth_when_copies_grow() -> None:
    rows = np.random.default_rng(7).standard_normal((3, 16))
    lines = picture_row(
        Amplifier(gain=2.0), rows, photons_per_symbol=1.0, copies=(16, 16_000), fraction=0.5, seed=8
    )
    assert [way for way, _ in lines] == ["queries inside the rules", "light kept"]
    for _, entries in lines:
        few, many = (np.corrcoef(row, rows[0])[0, 1] for _, row in entries)
        assert few < many
        assert many > 0.99
    named = [(way, [(str(count), row) for count, row in entries]) for way, entries in lines]
    figure = draw_rows(rows[0], named, "one row")
    assert len(figure.axes) == 6


def test_share_is_never_below_its_limit_when_counted() -> None:
    assert share_low(0, 10) == 0.0
    assert 0.05 < share_low(10, 10) < 0.2
    assert fano_success(0.0, 4) == 0.5
    assert fano_success(100.0, 4) == 1.0


def test_probe_is_refused_when_the_receiver_restores_p() -> None:
    with pytest.raises(ConfigurationError, match="take feed-forward-tap"):
        measure_probing(
            Amplifier(gain=2.0), vectors(), probe_photons_per_mode=1.0, rows=[4], trials=2, seed=9
        )
    for measure in (
        lambda: measure_counting(TAP, vectors(), rows=[4], trials=1, seed=9),
        lambda: measure_probing(
            TAP, vectors(), probe_photons_per_mode=1.0, rows=[4], trials=1, seed=9
        ),
    ):
        with pytest.raises(ConfigurationError, match="1 trials"):
            measure()
    with pytest.raises(ConfigurationError, match="0 hidden units"):
        fit_teacher(vectors(), np.zeros(10, dtype=np.int64), hidden=0, seed=0)
