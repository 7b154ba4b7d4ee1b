"""Echo of bright slots: measured against a made one, and removed behind a real low-pass.

Statistical limits are six standard deviations (2e-9 each), seeds fixed.
"""

import numpy as np
import pytest
from scipy.signal import butter, lfilter

from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.echo import measure_echo, remove_echo
from drivers.optics.receiver import Receiver
from tests.unit.drivers.optics.synthetic_records import Conditions, record_of

SIGNS = BurstFormat().preamble_signs


@pytest.mark.parametrize("share", [0.0, 0.02 - 0.01j, -0.05j], ids=["none", "small", "large"])
def test_echo_is_measured_and_removed(share: complex) -> None:
    rng = np.random.default_rng(1)
    body = np.sqrt(2) * rng.standard_normal(80_000).astype(np.complex128)
    body[::8] = 35 * np.sign(rng.standard_normal(10_000))
    sent = np.concatenate((35 * SIGNS, body))
    turning = np.exp(1j * np.cumsum(0.03 * rng.standard_normal(sent.size)))
    echoed = sent * turning
    echoed[1:] += share * (sent * turning)[:-1]
    noise = rng.standard_normal(sent.size) + 1j * rng.standard_normal(sent.size)
    values = (echoed + noise).astype(np.complex64)
    pilots = 511 + 8 * np.arange(10_000)
    echo = measure_echo(values[:511], SIGNS, values[pilots], values[pilots + 1])
    assert abs(echo.share - share) < 8 * echo.uncertainty
    assert echo.uncertainty < 1e-3
    before = values.copy()
    remove_echo(values, echo)
    if share:
        left = (values - sent * turning)[pilots + 1]
        along = np.mean(left * np.conj((sent * turning)[pilots])) / 35**2
        assert abs(along) < 8 * echo.uncertainty
    else:
        np.testing.assert_array_equal(values, before)


def test_receiver_removes_the_echo_of_a_low_pass() -> None:
    layout = BurstLayout(format=BurstFormat(), data_symbols=40_000)
    rng = np.random.default_rng(2)
    conditions = Conditions(linewidth_hz=20e3, delay_samples=40.4)
    record = record_of(layout, np.zeros(40_000), 34.6, conditions, rng)
    # Two poles at 300 MHz with the light at 200 MHz: a harsh detector.
    slow = np.asarray(lfilter(*butter(2, 300 / 400), record), dtype=np.float32)
    found = Receiver(layout.format).process(slow, layout, electronic_noise=0.0)
    assert found.echo.is_significant
    after = np.isin(layout.data - 1, layout.pilots)
    sign = layout.pilot_signs[np.searchsorted(layout.pilots, layout.data[after] - 1)]
    leaked = complex(np.mean(found.data[after] * sign))
    chance = 6 * np.sqrt(2 / np.count_nonzero(after))
    assert abs(leaked) < 2 * chance
    assert abs(found.echo.share) * found.pilot_amplitude > 0.3
