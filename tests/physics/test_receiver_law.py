"""Joint law of the client's outcome and of the returned light, for the three receivers.

Oracles: the closed forms of the receivers, then `slow_reference`, which draws every vacuum. Fewer
than 2000 z-tests at the limit of `moment_tests`: probability of a chance failure below 1e-10.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivers.backend import Block
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from sim_backend.adversaries import (
    HONEST,
    ReturnBehaviour,
    intercepts_and_resends,
    keeps_fraction,
    measures_only_x,
    returns_nothing,
    taps_and_amplifies,
)
from sim_backend.random_streams import DriftStream
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.physics.moment_tests import assert_moments, assert_same_moments
from tests.physics.slow_reference import Reference, complete_to_unitary

Real = NDArray[np.float64]
Field = NDArray[np.complex128]

MODES = 5
SHOTS = 150_000


def vectors(seed: int, *, complex_values: bool) -> tuple[Field, Field]:
    """Launched means (about 1.5 SNU amplitudes each) and unit data."""
    rng = np.random.default_rng(seed)
    means, data = rng.standard_normal((2, MODES)) + 1j * rng.standard_normal((2, MODES))
    if not complex_values:
        means, data = means.real + 0j, data.real + 0j
    return 1.5 * means, data / np.linalg.norm(data)


def link_shots(
    settings: LinkSettings,
    means: Field,
    data: Field,
    *,
    on_p: bool,
    behaviour: ReturnBehaviour = HONEST,
    shots: int = SHOTS,
) -> Real:
    """Outcome and full return of the symbol link: `(shots, 1 + modes)`."""
    link = SymbolLink(settings, behaviour)
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=shots, first_row=0, rows=1, modes=means.size
    )
    sent, loaded = torch.from_numpy(means), torch.from_numpy(data)
    if not means.imag.any():
        sent = sent.real
    if not data.imag.any():
        loaded = loaded.real
    link.client.load(block, loaded.expand(shots, -1))
    link.server.send(block, sent[None, None])
    outcome = link.client.measure(block)
    record = link.server.collect_full(block, torch.full((shots, 1), on_p))
    return torch.cat([outcome[..., None], record], dim=-1)[:, 0].double().numpy()


TABLE: list[tuple[Receiver, float, float, float]] = [
    # receiver, SNR factor f, excess noise of the returned X, of the returned P
    (FeedForwardTap(tap_fraction=0.1), 0.1, 0.0263, 0.0),
    (FeedForwardTap(tap_fraction=0.1875), 0.1875, 0.0519, 0.0),
    (FeedForwardTap(tap_fraction=0.5), 0.5, 0.1716, 0.0),
    (FeedForwardTap(tap_fraction=0.9), 0.9, 0.5195, 0.0),
    (FeedForwardTap(tap_fraction=1.0), 1.0, 1.0, 0.0),
    (Amplifier(gain=1.1), 0.0982, 0.1818, 0.1818),
    (Amplifier(gain=1.2), 0.1875, 0.3333, 0.3333),
    (Amplifier(gain=2.0), 0.5, 1.0, 1.0),
    (Amplifier(gain=10.0), 0.5233, 1.8, 1.8),
    (PassiveTap(tap_fraction=0.3), 0.3, 0.0, 0.0),
    (PassiveTap(tap_fraction=1.0), 1.0, 0.0, 0.0),
]


def name_of(receiver: Receiver) -> str:
    return f"{receiver.kind} {receiver.setting}"


@pytest.mark.parametrize(("receiver", "f", "excess_x", "excess_p"), TABLE)
def test_receiver_formulas_give_the_published_numbers(
    receiver: Receiver, f: float, excess_x: float, excess_p: float
) -> None:
    assert receiver.snr_factor == pytest.approx(f, abs=5e-5)
    assert receiver.excess_noise_x_snu == pytest.approx(excess_x, abs=5e-5)
    assert receiver.excess_noise_p_snu == pytest.approx(excess_p, abs=5e-5)


def closed_form(receiver: Receiver) -> tuple[float, float, float, float]:
    """a, v, returned amplitude of all modes and covariance of outcome and returned X."""
    s = receiver.setting
    if isinstance(receiver, Amplifier):
        kappa = 1 - 1 / s
        v = (2 * s**2 - 3 * s + 2) / s
        return math.sqrt(s - 1), v, 1.0, 2 * (s - 1) * math.sqrt(kappa / s)
    if isinstance(receiver, FeedForwardTap):
        return math.sqrt(s), 1.0, 1.0, (1 - math.sqrt(1 - s)) / math.sqrt(s)
    return math.sqrt(s), 1.0, math.sqrt(1 - s), 0.0


@pytest.mark.parametrize("on_p", [False, True], ids=["X", "P"])
@pytest.mark.parametrize(
    ("receiver", "f", "excess_x", "excess_p"), TABLE, ids=[name_of(row[0]) for row in TABLE]
)
def test_link_has_the_closed_form_when_ideal(
    receiver: Receiver, f: float, excess_x: float, excess_p: float, on_p: bool
) -> None:
    means, data = vectors(11, complex_values=False)
    x, m = data.real, means.real
    a, v, amplitude, cross = closed_form(receiver)
    assert a**2 / v == pytest.approx(f, abs=5e-5)
    covariance = np.eye(1 + MODES)
    covariance[0, 0] = v
    # One number per frame along the data: I + (excess) x x^T, off-diagonals included.
    covariance[1:, 1:] += (receiver_excess(receiver, on_p)) * np.outer(x, x)
    covariance[0, 1:] = covariance[1:, 0] = 0.0 if on_p else cross * x
    mean = np.concatenate([[a * (m @ x)], np.zeros(MODES) if on_p else amplitude * m])
    samples = link_shots(
        LinkSettings(receiver=receiver, seed=3, device="cpu"), means, data, on_p=on_p
    )
    assert_moments(samples, mean, covariance)
    assert receiver_excess(receiver, on_p) == pytest.approx(
        excess_p if on_p else excess_x, abs=5e-5
    )


def receiver_excess(receiver: Receiver, on_p: bool) -> float:
    """Closed form of the excess noise: 2 (1 - 1/G), or (2 - tau - 2 sqrt(1 - tau)) / tau."""
    s = receiver.setting
    if isinstance(receiver, Amplifier):
        return 2 * (1 - 1 / s)
    if isinstance(receiver, FeedForwardTap) and not on_p:
        return (2 - s - 2 * math.sqrt(1 - s)) / s
    return 0.0


CLIENT = DetectorSettings(
    efficiency=0.8,
    visibility=0.95,
    electronic_noise_snu=0.15,
    phase_error_rad=0.6,
    phase_memory_frames=0,
    oscillator_drift=0.1,
    oscillator_memory_inputs=0,
)
SERVER = DetectorSettings(
    efficiency=0.9,
    visibility=0.9,
    electronic_noise_snu=0.1,
    phase_error_rad=0.5,
    phase_memory_frames=0,
    oscillator_drift=0.12,
    oscillator_memory_inputs=0,
)


def worn(receiver: Receiver) -> LinkSettings:
    """A link with every imperfection at once, large."""
    return LinkSettings(
        receiver=receiver,
        forward_transmittance=0.8,
        return_transmittance=0.7,
        excess_noise_snu=0.5,
        unitary_error_rad=0.6,
        client=CLIENT,
        server=SERVER,
        seed=4,
        device="cpu",
    )


def ideal(receiver: Receiver) -> LinkSettings:
    return LinkSettings(receiver=receiver, seed=4, device="cpu")


AMPLIFIER, TAP, PASSIVE = (
    Amplifier(gain=2.5),
    FeedForwardTap(tap_fraction=0.6),
    PassiveTap(tap_fraction=0.4),
)
ATTACKS: dict[str, tuple[ReturnBehaviour, str, float]] = {
    "honest": (HONEST, "", 0.0),
    "keep": (keeps_fraction(0.4), "keep", 0.4),
    "vacuum": (returns_nothing(), "keep", 1.0),
    "keep and amplify": (taps_and_amplifies(0.3), "keep and amplify", 0.3),
    "resend": (intercepts_and_resends(), "resend", 0.0),
    "meter of X": (measures_only_x(0.8), "meter of X", 0.8),
}
CASES: list[tuple[Callable[[Receiver], LinkSettings], Receiver, bool, str]] = [
    *((ideal, r, False, "honest") for r in (AMPLIFIER, TAP, PASSIVE)),
    *((worn, r, False, "honest") for r in (AMPLIFIER, TAP, PASSIVE)),
    *((s, r, True, "honest") for s in (ideal, worn) for r in (AMPLIFIER, PASSIVE)),
    *((ideal, AMPLIFIER, False, attack) for attack in ATTACKS if attack != "honest"),
    (worn, AMPLIFIER, True, "keep and amplify"),
    (worn, TAP, False, "keep"),
    (worn, PASSIVE, False, "meter of X"),
]


@pytest.mark.parametrize("on_p", [False, True], ids=["X", "P"])
@pytest.mark.parametrize(
    ("settings_of", "receiver", "complex_values", "attack"),
    CASES,
    ids=[f"{s.__name__} {r.kind}{' complex' if c else ''} {a}" for s, r, c, a in CASES],
)
def test_link_agrees_with_the_slow_reference(
    settings_of: Callable[[Receiver], LinkSettings],
    receiver: Receiver,
    complex_values: bool,
    attack: str,
    on_p: bool,
) -> None:
    settings = settings_of(receiver)
    behaviour, name, strength = ATTACKS[attack]
    means, data = vectors(12, complex_values=complex_values)
    fast = link_shots(settings, means, data, on_p=on_p, behaviour=behaviour)
    reference = Reference(settings=settings, attack=name, strength=strength)
    slow = reference.shots(np.random.default_rng(13), SHOTS, means, data, on_p)
    assert_same_moments(fast, slow)


@pytest.mark.parametrize("on_p", [False, True], ids=["X", "P"])
@pytest.mark.parametrize(
    ("receiver", "complex_values"),
    # The feed-forward tap takes real light alone.
    [(r, c) for c in (False, True) for r in (AMPLIFIER, TAP, PASSIVE) if r is not TAP or not c],
    ids=lambda value: value.kind if not isinstance(value, bool) else "complex" if value else "real",
)
def test_link_agrees_with_the_slow_reference_when_phases_stand_off(
    receiver: Receiver, complex_values: bool, on_p: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Phases drawn evenly to both sides hide the signs of all that mixes X and P; fixed ones do not.
    def constant(drift: DriftStream, *shape: int) -> torch.Tensor:
        return torch.full(shape, drift._sigma)

    monkeypatch.setattr(DriftStream, "take", constant)
    settings = replace(worn(receiver), forward_transmittance=0.9)
    means, data = vectors(16, complex_values=complex_values)
    behaviour, name, strength = ATTACKS["meter of X"]
    fast = link_shots(settings, means, data, on_p=on_p, behaviour=behaviour)
    reference = Reference(settings=settings, attack=name, strength=strength, constant_drift=True)
    assert_same_moments(fast, reference.shots(np.random.default_rng(17), SHOTS, means, data, on_p))


def test_slow_reference_unitary_takes_the_data_to_port_zero() -> None:
    _, data = vectors(14, complex_values=True)
    unitary = complete_to_unitary(data)
    assert np.allclose(unitary @ unitary.conj().T, np.eye(MODES))
    assert np.allclose(unitary @ data, np.eye(MODES)[0])


def test_amplifier_noise_is_one_number_per_frame_times_the_data() -> None:
    means, data = vectors(15, complex_values=False)
    gain, shots = 4.0, 100_000
    settings = LinkSettings(receiver=Amplifier(gain=gain), seed=5, device="cpu")
    record = link_shots(settings, means, data, on_p=False, shots=shots)[:, 1:]
    values = np.linalg.eigvalsh(np.cov(record.T))
    # Four eigenvalues of vacuum, one of 1 + 2 kappa. Sampling error of each about 0.005 (largest
    # 0.011); the bounds are more than 8 of those away.
    assert values[-1] == pytest.approx(1 + 2 * (1 - 1 / gain), abs=0.1)
    assert np.all(np.abs(values[:-1] - 1) < 0.05)
