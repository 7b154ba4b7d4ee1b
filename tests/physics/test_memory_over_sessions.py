"""The ledger's charge against one memory over all copies, of sessions that are not alike.

Attacks are written out mode by mode; the ledger sees of them each session's gain and noises.
"""

import numpy as np
import pytest

from protocol.plan import Encoding
from tests.physics.copy_attacks import random_unitary
from tests.physics.unlike_copies import (
    Copies,
    hidden_by_sessions,
    ledger_bits,
    mixed_with_pairs,
    seen_in_sessions,
)

_ATTACKS = 60

FAINT_AND_BRIGHT = (Copies(photons=0.01, number=5), Copies(photons=0.1, number=5))
MANY_AND_FEW = (Copies(photons=0.01, number=20), Copies(photons=0.1, number=3, transmittance=0.95))
BOTH_LOSE = (
    Copies(photons=0.01, number=20, transmittance=0.8),
    Copies(photons=0.3, number=10, transmittance=0.95),
)
FEW_FAINT = (Copies(photons=0.01, number=2), Copies(photons=1.0, number=50))


@pytest.mark.parametrize(
    ("sessions", "kept"),
    [(FAINT_AND_BRIGHT, 0.0), (MANY_AND_FEW, 0.02), (BOTH_LOSE, 0.0), (FEW_FAINT, 0.0)],
    ids=["faint and bright", "many and few", "both lose", "few faint"],
)
@pytest.mark.parametrize("tapped", [0.02, 0.2])
def test_charge_holds_and_is_nearly_reached_when_a_tap_is_hidden_in_two_sessions(
    sessions: tuple[Copies, ...], kept: float, tapped: float
) -> None:
    """Of the light that can come back the fraction is tapped; no session shows it in its mean."""
    sent = sum(part.photons * part.number for part in sessions) + kept
    back = sum(part.photons * part.number * part.transmittance for part in sessions)
    unitary = hidden_by_sessions(sessions, kept, 1 - back / sent * (1 - tapped))
    seen = seen_in_sessions(unitary, sessions, kept, "real")
    assert seen is not None
    for part, channel in zip(sessions, seen.channels, strict=True):
        assert channel.transmittance == pytest.approx(part.transmittance)
        assert channel.excess_noise_x_snu == pytest.approx(channel.excess_noise_p_snu)
        assert channel.excess_noise_x_snu < 0.01
    bound = ledger_bits(seen, sessions, kept)
    assert 0.75 * bound < seen.bits <= bound * (1 + 1e-9)
    assert seen.bits > 1.1 * ledger_bits(seen, sessions, kept, "copies apart")


@pytest.mark.parametrize("keeps", [False, True])
def test_charge_holds_when_two_sessions_are_attacked_together_in_any_way(keeps: bool) -> None:
    rng = np.random.default_rng(300 + keeps)
    played = good = 0
    while played < _ATTACKS:
        sessions = [
            Copies(photons=10 ** rng.uniform(-2, 0.5), number=int(rng.integers(1, 3)))
            for _ in range(2)
        ]
        kept = 10 ** rng.uniform(-2, 0.5) if keeps else 0.0
        modes = sum(part.number for part in sessions) + 1 + 2
        unitary = random_unitary(rng, modes, 10 ** rng.uniform(-2, -0.7))
        seen = seen_in_sessions(unitary, sessions, kept, "real")
        if seen is None:
            continue
        played += 1
        bound = ledger_bits(seen, sessions, kept)
        assert seen.bits <= bound * (1 + 1e-6) + 1e-9
        good += seen.bits > 0.3 * bound
    assert good >= _ATTACKS // 20  # some of them are good attacks


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_charge_holds_when_copies_of_two_sessions_meet_entangled_pairs(encoding: Encoding) -> None:
    rng = np.random.default_rng(320)
    played = good = 0
    while played < _ATTACKS:
        sessions = [
            Copies(photons=10 ** rng.uniform(-2, 0.5), number=int(rng.integers(1, 4)))
            for _ in range(2)
        ]
        kept = 10 ** rng.uniform(-2, 0.5)
        copies = sum(part.number for part in sessions) + 1
        unitary = mixed_with_pairs(rng, copies, 10 ** rng.uniform(-2, -0.3))
        seen = seen_in_sessions(unitary, sessions, kept, encoding)
        if seen is None:
            continue
        played += 1
        bound = ledger_bits(seen, sessions, kept)
        assert seen.bits <= bound * (1 + 1e-6) + 1e-9
        good += seen.bits > 0.5 * bound
    assert good >= _ATTACKS // 20  # some of them are good attacks
