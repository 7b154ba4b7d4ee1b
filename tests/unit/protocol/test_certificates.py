"""Certificates: what a statement says of what a session counted."""

from dataclasses import replace

import pytest

from drivers.errors import ConfigurationError, DataError
from protocol.certificates import client_statement, server_statement
from protocol.leakage import (
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_real,
)
from protocol.leakage.data_layer import PROBING_SERVER
from tests.unit.protocol.certificate_records import (
    COPIES,
    EXCESS,
    FIGURES,
    MODES,
    MU,
    ROWS,
    counted_layer,
    session_record,
)
from tests.unit.protocol.run_facts import FACTS


def test_server_statement_lies_between_asymptotic_and_untested_when_all_passed() -> None:
    statement = server_statement(FACTS, session_record())
    (layer,) = statement.layers
    best = weight_bits_client_verified_real(COPIES * MU, 1.0, EXCESS, EXCESS)
    untested = weight_bits_client_keeps_all_gaussian_real(COPIES * MU)
    assert best < layer.bits_per_value < 0.9 * untested
    assert layer.bits_untested == pytest.approx(untested)
    assert layer.certified
    assert layer.total_bits == pytest.approx(layer.bits_per_value * ROWS * MODES)
    assert statement.total.all_sessions_worst_bits == pytest.approx(layer.bits_per_value)
    assert statement.confidence == 1 - 1e-6
    assert {entry.what for entry in statement.estimates} == {
        "gain of X",
        "excess noise of X",
        "excess noise of P",
    }
    assert all(entry.symbols == COPIES * ROWS * MODES // 2 for entry in statement.estimates)


def test_server_statement_charges_refused_copies_as_kept_when_the_session_was_aborted() -> None:
    """One transmission of which a part came back; not the bits of both parts, added."""
    aborted = server_statement(FACTS, session_record(counted_layer(30, 20))).layers[0]
    merged = weight_bits_client_verified_real(COPIES * MU, 30 / COPIES, EXCESS, EXCESS)
    untested = weight_bits_client_keeps_all_gaussian_real(COPIES * MU)
    assert merged < aborted.bits_per_value < min(1.1 * merged, untested)
    assert (
        aborted.bits_per_value > server_statement(FACTS, session_record()).layers[0].bits_per_value
    )
    assert (aborted.copies_verified, aborted.copies_unverified) == (30, 20)
    few = server_statement(FACTS, session_record(counted_layer(1, 20))).layers[0]
    assert few.bits_per_value <= weight_bits_client_keeps_all_gaussian_real(21 * MU)


def test_server_statement_has_a_figure_with_memory_when_copies_are_many() -> None:
    statement = server_statement(
        FACTS, session_record(counted_layer(), counted_layer(0, 10, index=1))
    )
    first, second = statement.layers
    assert first.bits_with_memory is not None
    assert 1.1 * first.bits_per_value < first.bits_with_memory < first.bits_untested
    assert second.bits_with_memory == second.bits_per_value == second.bits_untested
    largest = max(first.bits_with_memory, second.bits_per_value)
    assert statement.total.worst_bits_with_memory == largest
    assert statement.total.all_sessions_worst_bits_with_memory == largest
    assert any(line.startswith("with a memory over copies") for line in statement.adversary)
    assert client_statement(FACTS, session_record(), FIGURES).layers[0].bits_with_memory is None


def test_server_statement_has_no_memory_to_add_when_one_copy_was_returned() -> None:
    record = session_record(counted_layer(1))
    (plan,) = record.thresholds.layers
    thresholds = replace(record.thresholds, layers=(replace(plan, copies=1),))
    alone = replace(record, thresholds=thresholds, thresholds_sha256=thresholds.sha256, ledger=None)
    (layer,) = server_statement(FACTS, alone).layers
    assert layer.bits_with_memory == layer.bits_per_value


@pytest.mark.parametrize(("layers", "deviations"), [(1, 5.49), (2, 5.61)])
def test_server_statement_says_at_how_many_deviations_calibrations_are_charged(
    layers: int, deviations: float
) -> None:
    statement = server_statement(
        FACTS, session_record(*(counted_layer(index=i) for i in range(layers)))
    )
    charged = [item for item in statement.trust if item.deviations is not None]
    assert [item.what.split(",")[0] for item in charged] == ["sent amplitudes", "shot-noise unit"]
    assert [item.deviations for item in charged] == [pytest.approx(deviations, abs=0.005)] * 2


def test_server_statement_is_the_untested_bound_when_nothing_passed() -> None:
    statement = server_statement(FACTS, session_record(counted_layer(0, 10)))
    (layer,) = statement.layers
    assert layer.bits_per_value == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(10 * MU)
    )
    assert not layer.certified
    assert statement.confidence is None
    assert statement.estimates == ()


def test_server_statement_counts_earlier_sessions_as_kept_when_the_ledger_knows_them() -> None:
    alone = server_statement(FACTS, session_record())
    earlier = replace(counted_layer(), ledger_photons=(COPIES + 1) * MU)
    both = server_statement(FACTS, session_record(earlier))
    # As if the one earlier copy had been sent and not returned today.
    today = server_statement(FACTS, session_record(counted_layer(COPIES, 1)))
    assert both.layers == alone.layers
    assert both.total.all_sessions_worst_bits == today.layers[0].bits_per_value
    assert both.total.all_sessions_worst_bits_with_memory == today.layers[0].bits_with_memory
    assert today.layers[0].bits_per_value > alone.layers[0].bits_per_value
    many = server_statement(FACTS, session_record(replace(counted_layer(), ledger_photons=100.0)))
    assert many.total.all_sessions_worst_bits is not None
    everything = weight_bits_client_keeps_all_gaussian_real(100.0)
    # What comes back of a twentieth of all the light still tells a little less.
    assert 0.99 * everything < many.total.all_sessions_worst_bits < everything
    unknown = server_statement(FACTS, session_record(replace(counted_layer(), ledger_photons=None)))
    assert unknown.total.all_sessions_worst_bits is None


def test_server_statement_shares_the_failure_and_adds_bits_when_layers_are_two() -> None:
    one = server_statement(FACTS, session_record())
    two = server_statement(FACTS, session_record(counted_layer(), counted_layer(index=1)))
    assert two.layers[0].bits_per_value > one.layers[0].bits_per_value
    assert two.total.total_bits == pytest.approx(sum(layer.total_bits for layer in two.layers))
    unsent = session_record(counted_layer(), counted_layer(0, index=1))
    assert [layer.layer for layer in server_statement(FACTS, unsent).layers] == ["layer 0"]


def test_server_statement_certifies_the_mean_as_one_number_when_all_light_was_tested() -> None:
    one = server_statement(FACTS, session_record()).total
    assert one.mean_certified_as_one == pytest.approx(one.mean_bits_per_value, rel=1e-9)
    two = server_statement(FACTS, session_record(counted_layer(), counted_layer(index=1))).total
    assert two.mean_certified_as_one is not None
    assert 0 < two.mean_certified_as_one < two.mean_bits_per_value
    kept = server_statement(
        FACTS, session_record(counted_layer(), counted_layer(30, 20, index=1))
    ).total
    assert kept.mean_certified_as_one is None


def test_server_statement_says_so_when_the_confidence_was_changed_afterwards() -> None:
    statement = server_statement(FACTS, session_record(), 0.99)
    assert not statement.confidence_fixed_beforehand
    assert statement.layers[0].bits_per_value < (
        server_statement(FACTS, session_record()).layers[0].bits_per_value
    )
    with pytest.raises(ConfigurationError, match="confidence is 1"):
        server_statement(FACTS, session_record(), 1.0)


def test_statement_is_refused_when_thresholds_are_not_the_recorded_ones() -> None:
    record = session_record()
    changed = replace(record, thresholds=replace(record.thresholds, false_alarm=1e-3))
    with pytest.raises(DataError, match="not the ones that were fixed beforehand"):
        server_statement(FACTS, changed)
    with pytest.raises(DataError, match="not the ones that were fixed beforehand"):
        client_statement(FACTS, changed, FIGURES)


def test_statement_is_refused_when_no_light_was_sent_or_layers_differ() -> None:
    with pytest.raises(DataError, match="no light was sent"):
        server_statement(FACTS, session_record(counted_layer(0)))
    record = session_record()
    with pytest.raises(DataError, match="other layers than were planned"):
        server_statement(FACTS, replace(record, layers=(counted_layer(index=3),)))


def test_client_statement_takes_the_largest_upper_bound_when_figures_are_many() -> None:
    statement = client_statement(FACTS, session_record(), FIGURES)
    assert statement.total.total_bits == 12.0
    assert len(statement.layers) == 1
    assert statement.confidence is None
    assert "no light in P" in {item.what for item in statement.trust if item.trusted}
    with pytest.raises(DataError, match="no upper bound"):
        client_statement(FACTS, session_record(), FIGURES[1:])


def test_client_statement_labels_a_local_estimate_when_displacements_probe_the_data() -> None:
    """What a server learns by probing P has no bound; it counts, and is not called one."""
    probing = {**FIGURES[0], "adversary": PROBING_SERVER, "upper_bound": False, "total_bits": 20.0}
    record = session_record()
    (plan,) = record.thresholds.layers
    for receiver, dither, found in (
        ("feed-forward-tap", 2.0, [True, False]),
        ("feed-forward-tap", 0.0, [True]),
        ("amplifier", 2.0, [True]),
    ):
        thresholds = replace(
            record.thresholds,
            receiver=receiver,
            receiver_setting=0.5 if receiver == "feed-forward-tap" else 1.25,
            layers=(replace(plan, dither_p_snu=dither),),
        )
        told = replace(
            record, thresholds=thresholds, thresholds_sha256=thresholds.sha256, ledger=None
        )
        statement = client_statement(FACTS, told, [*FIGURES, probing])
        assert [layer.upper_bound for layer in statement.layers] == found
        assert statement.total.total_bits == (12.0 if found == [True] else 20.0)
        said = any("no upper bound" in line for line in statement.adversary)
        assert said is (False in found)
