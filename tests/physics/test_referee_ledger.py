"""What the ledger and the certificate charge, held against what an adversary has for certain."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.budget import Charge, bits_per_weight, charge_for_layer
from protocol.certificates.thresholds import honest_channel, server_trust
from protocol.leakage.certified import compose_over_sessions
from protocol.leakage.weights import weight_bits_client_keeps_all_gaussian_real
from protocol.ledger import WeightLedger
from protocol.plan import Encoding, LayerPlan
from protocol.verification import expected_return
from sim_backend.adversaries.return_behaviour import keeps_fraction
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import perceptron
from veilight.runs import InferenceRequest, run_inference


def layer_of(encoding: Encoding = "real") -> LayerPlan:
    return LayerPlan(
        layer=0,
        rows=4,
        entries=100 if encoding == "complex" else 50,
        positions=1,
        encoding=encoding,
        photons_per_symbol=0.1,
        scale_snu=1.0,
        tiles=(50,),
    )


def charge_of(receiver: Receiver, encoding: Encoding = "real") -> Charge:
    info = SymbolLink(LinkSettings(receiver=receiver, seed=1, device="cpu")).server.describe()
    return charge_for_layer(
        layer_of(encoding), expected_return(info, receiver), info.detection_efficiency
    )


@pytest.mark.parametrize(
    ("first", "second", "encodings"),
    [
        (PassiveTap(tap_fraction=0.5), FeedForwardTap(tap_fraction=0.5), ("real", "real")),
        (Amplifier(gain=10.0), Amplifier(gain=1.05), ("real", "real")),
        (Amplifier(gain=1.3), Amplifier(gain=1.3), ("real", "complex")),
    ],
    ids=["another receiver", "another gain", "another encoding"],
)
def test_ledger_forgets_nothing_when_a_later_session_is_another_one(
    first: Receiver, second: Receiver, encodings: tuple[Encoding, Encoding]
) -> None:
    """Bits that have leaked stay leaked, however the light of later sessions is received."""
    with WeightLedger.create(None, "weights", {0: 4}, 10.0) as ledger:
        entry = ledger.debit("one", 0, 0, 4, 10.0, charge_of(first, encodings[0]))
        ledger.settle(entry, verified=True)
        leaked = charge_of(first, encodings[0])(
            ledger.verified_photons(0), ledger.unverified_photons(0)
        )
        ledger.debit("two", 0, 0, 4, 1e-6, charge_of(second, encodings[1]))
        spent = list(ledger.entries())[-1].bits_per_weight
    assert spent is not None
    assert spent >= float(leaked.max()) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("verified", "kept", "noise"),
    [(0.1, 0.00056, 0.00059), (0.1, 0.001, 0.001), (0.056, 0.0056, 0.01)],
    ids=["noise 0.0006", "noise 0.001", "noise 0.01"],
)
def test_composed_bits_cover_a_merger_of_kept_and_verified_light_when_both_are_small(
    verified: float, kept: float, noise: float
) -> None:
    """The bound of the merged light is reached by a Gaussian channel: a sum must not be less."""
    channel = {"excess_noise_x_snu": noise, "excess_noise_p_snu": noise}
    composed = compose_over_sessions(
        [
            bits_per_weight(verified, 0.0, "real", transmittance=1.0, **channel),
            bits_per_weight(0.0, kept, "real", transmittance=1.0, **channel),
        ],
        weight_bits_client_keeps_all_gaussian_real(verified + kept),
    )
    merged = bits_per_weight(verified, kept, "real", transmittance=1.0, **channel)
    assert composed >= merged * (1 - 1e-9)


@pytest.mark.parametrize("phase_noise", [0.03, 0.1])
def test_ledger_charges_the_noise_when_displacements_of_p_turn_into_x(phase_noise: float) -> None:
    """The tests allow X the noise that a phase error makes of the displacements: so it counts."""
    receiver, plan = Amplifier(gain=1.3), layer_of()
    link = SymbolLink(LinkSettings(receiver=receiver, seed=1, device="cpu"))
    info = replace(link.server.describe(), phase_noise_rad=phase_noise)
    law = expected_return(info, receiver, dither_snu=2.0)
    allowed = honest_channel(plan, law, server_trust(info))
    assert allowed.excess_noise_p_snu is not None
    wanted = bits_per_weight(
        1.0,
        0.0,
        "real",
        transmittance=allowed.gain_x**2,
        excess_noise_x_snu=allowed.excess_noise_x_snu,
        excess_noise_p_snu=allowed.excess_noise_p_snu,
    )
    charged = charge_for_layer(plan, law, 1.0)(np.array([1.0]), np.array([0.0]))
    assert float(charged[0]) >= wanted * (1 - 1e-6)


def test_ledger_charges_what_was_kept_when_every_short_session_passes() -> None:
    """A client that keeps a tenth in sessions of one query each, which are too short to show it."""
    model, generator = perceptron((64, 16, 10), bias=False), torch.Generator().manual_seed(5)
    ledger = WeightLedger.create(
        None,
        model.digest,
        {index: model.graph.optical_layer(index).rows for index in model.graph.optical},
        None,
    )
    kept, sessions = 0.1, 20
    for session in range(sessions):
        result = run_inference(
            InferenceRequest(
                model=model,
                inputs=torch.rand((1, 64), generator=generator),
                link=LinkSettings(
                    receiver=FeedForwardTap(tap_fraction=0.2), seed=100 + session, device="cpu"
                ),
                behaviour=keeps_fraction(kept),
                signal_to_noise=(1.0, 1.0),
                ledger=ledger,
            )
        )
        assert result.accepted
    layer = result.layers[0]
    assert layer.bits_charged >= weight_bits_client_keeps_all_gaussian_real(
        kept * layer.photons_in_ledger
    )
