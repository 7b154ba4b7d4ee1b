"""What the ledger and the certificate charge, held against what an adversary has for certain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.budget import Charge, bits_per_weight, charge_for_layer
from protocol.certificates import server_statement, session_record_from
from protocol.honest_channel import honest_channel, server_trust
from protocol.leakage.certified import (
    TestedQuadrature,
    certification_design,
    certified_weight_bits,
)
from protocol.leakage.general_bound import ReturnedChannel
from protocol.leakage.weights import weight_bits_client_keeps_all_gaussian_real
from protocol.ledger import WeightLedger
from protocol.plan import Encoding, LayerPlan
from protocol.verification import expected_return
from sim_backend.adversaries.return_behaviour import keeps_fraction
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.run_facts import FACTS
from tests.unit.protocol.session_bench import perceptron
from veilight.certificate_record import certificate_record
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
    return charge_for_layer(layer_of(encoding), expected_return(info, receiver), server_trust(info))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (PassiveTap(tap_fraction=0.5), FeedForwardTap(tap_fraction=0.5)),
        (Amplifier(gain=10.0), Amplifier(gain=1.05)),
    ],
    ids=["another receiver", "another gain"],
)
def test_ledger_forgets_nothing_when_a_later_session_is_another_one(
    first: Receiver, second: Receiver
) -> None:
    """Bits that have leaked stay leaked, however the light of later sessions is received."""
    with WeightLedger.create(None, "weights", {0: 4}, 10.0) as ledger:
        entry = ledger.debit("one", 0, 0, 4, 10.0, charge_of(first))
        ledger.settle(entry, verified=True)
        leaked = charge_of(first)(ledger.verified_photons(0), ledger.unverified_photons(0))
        ledger.debit("two", 0, 0, 4, 1e-6, charge_of(second))
        spent = list(ledger.entries())[-1].bits_per_weight
    assert spent is not None
    assert spent >= float(leaked.max()) * (1 - 1e-9)


@pytest.mark.parametrize(
    "encodings", [("real", "complex"), ("complex", "real")], ids=lambda pair: pair[0]
)
def test_ledger_refuses_light_when_a_later_session_has_another_encoding(
    encodings: tuple[Encoding, Encoding],
) -> None:
    """Copies of both encodings do not merge into one mode, so nothing would be forgotten safely."""
    first, second = (charge_of(Amplifier(gain=1.3), encoding) for encoding in encodings)
    with WeightLedger.create(None, "weights", {0: 4}, 10.0) as ledger:
        entry = ledger.debit("one", 0, 0, 4, 10.0, first)
        ledger.settle(entry, verified=True)
        head = ledger.head
        with pytest.raises(ConfigurationError, match=f"sent with {encodings[0]} encoding"):
            ledger.debit("two", 0, 0, 4, 1e-6, second)
        assert ledger.head == head


@pytest.mark.parametrize(
    ("verified", "kept", "noise"),
    [(0.1, 0.00056, 0.00059), (0.1, 0.001, 0.001), (0.056, 0.0056, 0.01)],
    ids=["noise 0.0006", "noise 0.001", "noise 0.01"],
)
def test_certificate_covers_a_merger_of_kept_and_verified_light_when_both_are_small(
    verified: float, kept: float, noise: float
) -> None:
    """The bound of the merged light is reached by a Gaussian channel; its parts' sum is less."""
    channel = {"excess_noise_x_snu": noise, "excess_noise_p_snu": noise}
    merged = bits_per_weight(verified, kept, "real", transmittance=1.0, **channel)
    apart = bits_per_weight(verified, 0.0, "real", transmittance=1.0, **channel)
    apart += bits_per_weight(0.0, kept, "real", transmittance=1.0, **channel)
    assert apart < 0.95 * merged
    symbols = 10**13
    design = certification_design(
        ReturnedChannel(gain_x=1.0, gain_p=1.0, **channel),
        modulation_x_snu=4 * verified,
        modulation_p_snu=0.0,
        copies=1,
        symbols_x=symbols,
        symbols_p=symbols,
        failure=1e-6,
        kept_copies=kept / verified,
    )
    sums = [
        TestedQuadrature(
            symbols=symbols,
            sent_energy_snu=energy,
            projection_snu=energy,
            residual_energy_snu=symbols * (1 + noise),
            reference_gain=1.0,
        )
        for energy in (symbols * 4 * verified, 0.0)
    ]
    certified = certified_weight_bits(design, *sums)
    assert certified is not None
    assert merged < certified.bits_per_symbol < 1.01 * merged


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
    charged = charge_for_layer(plan, law, server_trust(info))(np.array([1.0]), np.array([0.0]))
    assert float(charged[0]) >= wanted * (1 - 1e-6)


def test_certificate_charges_what_short_sessions_let_pass_and_the_ledger_does_not(
    tmp_path: Path,
) -> None:
    """A client that keeps a tenth in sessions of one query each, which are too short to show it.

    The limit of a budget: the ledger takes accepted light for what was agreed, with no confidence.
    The certificate of the last session has all that the ledger ever sent before as kept.
    """
    model, generator = perceptron((64, 16, 10), bias=False), torch.Generator().manual_seed(5)
    rows = {index: model.graph.optical_layer(index).rows for index in model.graph.optical}
    kept, sessions = 0.1, 20
    with WeightLedger.create(tmp_path / "ledger", model.digest, rows, None) as ledger:
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
        assert ledger.totals().unverified == 0
    layer = result.layers[0]
    stolen = weight_bits_client_keeps_all_gaussian_real(kept * layer.photons_in_ledger)
    statement = server_statement(FACTS, session_record_from(certificate_record(result)))
    assert statement.accepted
    composed = statement.total.all_sessions_worst_bits
    assert composed is not None
    assert composed >= stolen
    assert 0 < layer.bits_charged < stolen / 2
