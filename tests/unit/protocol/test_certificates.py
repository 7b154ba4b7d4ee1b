"""Certificates: what a statement counts, what a signature guards, what verification names."""

import copy
import json
import math
import stat
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import (
    ConfigurationError,
    DataError,
    OutputError,
    VerificationError,
)
from protocol.certificates import (
    LayerRecord,
    LayerThresholds,
    LedgerRecord,
    RunFacts,
    SessionRecord,
    TestRecord,
    Thresholds,
    canonical_json,
    client_statement,
    fingerprint,
    generate_key,
    parse_json,
    public_key_text,
    read_private_key,
    require_real_light,
    server_statement,
    session_record_from,
    sign,
    verify_certificate,
    write_key,
)
from protocol.certificates.compare import differences
from protocol.leakage import (
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_real,
)
from protocol.leakage.certified import NoiseDependence, ServerTrust, TestedQuadrature
from protocol.leakage.general_bound import ReturnedChannel
from protocol.verification.session_limits import AlarmShares, SessionLimits

_LIMITS = SessionLimits(
    false_alarm=1e-6,
    shares=AlarmShares(),
    blocks=4,
    running_limit=20.0,
    running_shifts=(4.0, 2.0),
    running_references=(0.01, 0.02, 0.02),
    calibration_score=5.0,
    moment_looks=(1, 2, 4),
    moment_limits=(6.0, 5.5, 5.0),
    moment_allowance=0.01,
    rail_rate=1e-8,
    audits=0,
    audit_rates=(1e-8,),
    audit_slack=0.0,
    opening_rate=1e-8,
    record_rate=1e-9,
    record_look_rates=(1e-9, 1e-9, 1e-9),
    vacuum_reference_values=80_000,
    shift_allowance=0.05,
)
_MU, _COPIES, _ROWS, _MODES = 0.1, 50, 40, 100
_EXCESS = 0.4 / _MODES
_FACTS = RunFacts(
    simulated=True,
    title="a run",
    started="2026-01-01T00:00:00+00:00",
    accepted=True,
    backend="symbol",
    taints=(),
    result_sha256="ab" * 32,
)
_FIGURES = [
    {
        "adversary": "server with any measurement, cap",
        "upper_bound": True,
        "assumptions": "no light in P",
        "total_bits": 12.0,
        "symbols": 100,
        "worst_layer": "layer 0",
    },
    {"adversary": "an estimate", "upper_bound": False, "total_bits": 99.0, "symbols": 100},
]


def _layer(name: str = "layer 0", index: int = 0) -> LayerThresholds:
    symbols = _COPIES * _ROWS * _MODES // 2
    return LayerThresholds(
        layer=index,
        name=name,
        rows=_ROWS,
        modes=_MODES,
        weights=_ROWS * _MODES,
        encoding="real",
        photons_per_symbol=_MU,
        copies=_COPIES,
        symbols_x=symbols,
        symbols_p=symbols,
        dither_p_snu=0.0,
        verifiable=True,
        expected=ReturnedChannel(
            gain_x=1.0, gain_p=1.0, excess_noise_x_snu=_EXCESS, excess_noise_p_snu=_EXCESS
        ),
    )


def _counted(verified: int = _COPIES, unverified: int = 0, index: int = 0) -> LayerRecord:
    """Sums that come out as expected, from so many copies."""
    symbols = verified * _ROWS * _MODES // 2

    def tested(modulation: float) -> TestedQuadrature | None:
        if not symbols:
            return None
        return TestedQuadrature(
            symbols=symbols,
            sent_energy_snu=symbols * modulation,
            projection_snu=symbols * modulation,
            residual_energy_snu=symbols * (1 + _EXCESS),
            reference_gain=1.0,
        )

    return LayerRecord(
        layer=index,
        copies_verified=verified,
        copies_unverified=unverified,
        tested_x=tested(4 * _MU),
        tested_p=tested(0.0),
        dependence=NoiseDependence(),
        bits_charged=0.3,
        ledger_photons=(verified + unverified) * _MU,
    )


def _record(*counted: LayerRecord) -> SessionRecord:
    layers = counted or (_counted(),)
    thresholds = Thresholds(
        confidence=1 - 1e-6,
        false_alarm=1e-6,
        blocks=4,
        x_share=0.5,
        receiver="amplifier",
        receiver_setting=1.25,
        trust=ServerTrust(),
        layers=tuple(_layer(f"layer {entry.layer}", entry.layer) for entry in layers),
        session=_LIMITS,
    )
    return SessionRecord(
        thresholds=thresholds,
        thresholds_sha256=thresholds.sha256,
        layers=layers,
        ledger=LedgerRecord(
            session="s",
            entries=7,
            hash="cd" * 32,
            budget_bits=1.0,
            lifted=False,
            thresholds_entry=2,
            thresholds_sha256=thresholds.sha256,
        ),
        data_ledger=None,
        tests=(
            TestRecord(
                party="server",
                name="running gain",
                score=1.5,
                limit=20.0,
                symbols=100,
                passed=True,
            ),
        ),
    )


def _read_back(value: object) -> Any:
    return json.loads(json.dumps(value))


def test_server_statement_lies_between_asymptotic_and_untested_when_all_passed() -> None:
    statement = server_statement(_FACTS, _record())
    (layer,) = statement.layers
    best = weight_bits_client_verified_real(_COPIES * _MU, 1.0, _EXCESS, _EXCESS)
    untested = weight_bits_client_keeps_all_gaussian_real(_COPIES * _MU)
    assert best < layer.bits_per_value < 0.9 * untested
    assert layer.bits_untested == pytest.approx(untested)
    assert layer.certified
    assert layer.total_bits == pytest.approx(layer.bits_per_value * _ROWS * _MODES)
    assert statement.total.all_sessions_worst_bits == pytest.approx(layer.bits_per_value)
    assert statement.confidence == 1 - 1e-6
    assert {entry.what for entry in statement.estimates} == {
        "gain of X",
        "excess noise of X",
        "excess noise of P",
    }
    assert all(entry.symbols == _COPIES * _ROWS * _MODES // 2 for entry in statement.estimates)


def test_server_statement_charges_refused_copies_as_kept_when_the_session_was_aborted() -> None:
    passed = server_statement(_FACTS, _record(_counted(30))).layers[0]
    aborted = server_statement(_FACTS, _record(_counted(30, 20))).layers[0]
    kept = weight_bits_client_keeps_all_gaussian_real(20 * _MU)
    untested = weight_bits_client_keeps_all_gaussian_real(_COPIES * _MU)
    expected = min(untested, passed.bits_per_value + kept)
    assert aborted.bits_per_value == pytest.approx(expected, rel=1e-9)
    assert (aborted.copies_verified, aborted.copies_unverified) == (30, 20)


def test_server_statement_is_the_untested_bound_when_nothing_passed() -> None:
    statement = server_statement(_FACTS, _record(_counted(0, 10)))
    (layer,) = statement.layers
    assert layer.bits_per_value == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(10 * _MU)
    )
    assert not layer.certified
    assert statement.confidence is None
    assert statement.estimates == ()


def test_server_statement_counts_earlier_sessions_as_kept_when_the_ledger_knows_them() -> None:
    alone = server_statement(_FACTS, _record())
    earlier = replace(_counted(), ledger_photons=(_COPIES + 1) * _MU)
    both = server_statement(_FACTS, _record(earlier))
    assert both.total.all_sessions_worst_bits == pytest.approx(
        alone.layers[0].bits_per_value + weight_bits_client_keeps_all_gaussian_real(_MU)
    )
    many = server_statement(_FACTS, _record(replace(_counted(), ledger_photons=100.0)))
    assert many.total.all_sessions_worst_bits == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(100.0)
    )
    unknown = server_statement(_FACTS, _record(replace(_counted(), ledger_photons=None)))
    assert unknown.total.all_sessions_worst_bits is None


def test_server_statement_shares_the_failure_and_adds_bits_when_layers_are_two() -> None:
    one = server_statement(_FACTS, _record())
    two = server_statement(_FACTS, _record(_counted(), _counted(index=1)))
    assert two.layers[0].bits_per_value > one.layers[0].bits_per_value
    assert two.total.total_bits == pytest.approx(sum(layer.total_bits for layer in two.layers))
    unsent = _record(_counted(), _counted(0, index=1))
    assert [layer.layer for layer in server_statement(_FACTS, unsent).layers] == ["layer 0"]


def test_server_statement_certifies_the_mean_as_one_number_when_all_light_was_tested() -> None:
    one = server_statement(_FACTS, _record()).total
    assert one.mean_certified_as_one == pytest.approx(one.mean_bits_per_value, rel=1e-9)
    two = server_statement(_FACTS, _record(_counted(), _counted(index=1))).total
    assert two.mean_certified_as_one is not None
    assert 0 < two.mean_certified_as_one < two.mean_bits_per_value
    kept = server_statement(_FACTS, _record(_counted(), _counted(30, 20, index=1))).total
    assert kept.mean_certified_as_one is None


def test_server_statement_says_so_when_the_confidence_was_changed_afterwards() -> None:
    statement = server_statement(_FACTS, _record(), 0.99)
    assert not statement.confidence_fixed_beforehand
    assert statement.layers[0].bits_per_value < (
        server_statement(_FACTS, _record()).layers[0].bits_per_value
    )
    with pytest.raises(ConfigurationError, match="confidence is 1"):
        server_statement(_FACTS, _record(), 1.0)


def test_statement_is_refused_when_thresholds_are_not_the_recorded_ones() -> None:
    record = _record()
    changed = replace(record, thresholds=replace(record.thresholds, false_alarm=1e-3))
    with pytest.raises(DataError, match="not the ones that were fixed beforehand"):
        server_statement(_FACTS, changed)
    with pytest.raises(DataError, match="not the ones that were fixed beforehand"):
        client_statement(_FACTS, changed, _FIGURES)


def test_statement_is_refused_when_no_light_was_sent_or_layers_differ() -> None:
    with pytest.raises(DataError, match="no light was sent"):
        server_statement(_FACTS, _record(_counted(0)))
    record = _record()
    with pytest.raises(DataError, match="other layers than were planned"):
        server_statement(_FACTS, replace(record, layers=(_counted(index=3),)))


def test_client_statement_takes_the_largest_upper_bound_when_figures_are_many() -> None:
    statement = client_statement(_FACTS, _record(), _FIGURES)
    assert statement.total.total_bits == 12.0
    assert len(statement.layers) == 1
    assert statement.confidence is None
    assert "no light in P" in {item.what for item in statement.trust if item.trusted}
    with pytest.raises(DataError, match="no upper bound"):
        client_statement(_FACTS, _record(), _FIGURES[1:])


def test_record_is_the_same_when_written_and_read_back() -> None:
    record = _record(_counted(), _counted(0, 3, index=1))
    read = session_record_from(_read_back(asdict(record)))
    assert read == record
    assert read.thresholds.sha256 == record.thresholds_sha256


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("thresholds", "confidence"), "high", "confidence: 'high' is not of type float"),
        (("layers", 0, "copies_verified"), True, "True is not of type int"),
        (("thresholds", "layers", 0, "encoding"), "both", "'both' is not one of"),
        (("thresholds", "trust", "efficiency"), 2.0, "between 0 and 1|above 0 and at most 1"),
        (("layers",), {}, "a list was expected"),
        (("thresholds",), [], "an object was expected"),
        (("extra",), 1, "missing or surplus: extra"),
    ],
    ids=["text", "truth-value", "word", "range", "list", "object", "surplus"],
)
def test_record_is_refused_when_a_field_is_wrong(
    path: tuple[str | int, ...], value: object, words: str
) -> None:
    data = _read_back(asdict(_record()))
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(DataError, match=words):
        session_record_from(data)


def test_canonical_bytes_are_one_when_order_and_containers_differ() -> None:
    assert canonical_json({"b": (1, 2.5), "a": "é"}) == b'{"a":"\xc3\xa9","b":[1,2.5]}'
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    with pytest.raises(DataError, match="cannot be written as JSON"):
        canonical_json({"a": math.nan})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b'{"a": NaN}', "not a number"),
        (b"[1]", "object was expected"),
        (b"{", "cannot be read|can be read"),
    ],
    ids=["twice", "nan", "list", "cut"],
)
def test_file_is_refused_when_it_is_not_plain_json(text: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_json(text, "file")


def test_certificate_matches_when_it_was_written_and_read_back() -> None:
    key, record = generate_key(), _record()
    certificate = _read_back(sign(server_statement(_FACTS, record), key))
    assert (
        verify_certificate(
            certificate,
            public_key=public_key_text(key),
            ledger_head=(7, "cd" * 32),
            thresholds_sha256=record.thresholds_sha256,
            result_sha256="ab" * 32,
        )
        == ()
    )


def test_verification_names_each_thing_when_it_does_not_match() -> None:
    key, record = generate_key(), _record()
    certificate = _read_back(sign(server_statement(_FACTS, record), key))

    def found(changed: dict[str, Any], **expected: Any) -> list[str]:
        return [entry.what for entry in verify_certificate(changed, **expected)]

    assert found(certificate, public_key=public_key_text(generate_key())) == ["key"]
    assert found(certificate, ledger_head=(8, "cd" * 32)) == ["ledger head"]
    assert found(certificate, thresholds_sha256="00" * 32) == ["thresholds"]
    assert found(certificate, result_sha256="00" * 32) == ["result"]
    altered = copy.deepcopy(certificate)
    altered["statement"]["total"]["worst_bits_per_value"] = 0.001
    assert found(altered) == ["signature"]
    called_real = copy.deepcopy(certificate)
    called_real["statement"]["simulated"] = False
    assert found(called_real) == ["light", "signature"]
    other = copy.deepcopy(certificate)
    other["signature"]["algorithm"] = "none"
    assert found(other) == ["signature"]
    assert found(_read_back(sign(server_statement(_FACTS, record), None))) == ["signature"]
    with pytest.raises(DataError, match="no statement"):
        verify_certificate({})


def test_signature_is_of_no_use_elsewhere_when_the_context_is_missing() -> None:
    """The prefix is signed, too: the statement's bytes alone do not verify."""
    from cryptography.exceptions import InvalidSignature

    key = generate_key()
    certificate = sign(server_statement(_FACTS, _record()), key)
    value = bytes.fromhex(certificate["signature"]["value"])
    with pytest.raises(InvalidSignature):
        key.public_key().verify(value, canonical_json(certificate["statement"]))


def test_claim_about_real_light_is_refused_when_the_session_was_simulated() -> None:
    simulated = sign(server_statement(_FACTS, _record()), None)
    assert simulated["statement"]["light"].startswith("SIMULATED")
    with pytest.raises(VerificationError, match="SIMULATED"):
        require_real_light(simulated)
    with pytest.raises(VerificationError, match="SIMULATED"):
        require_real_light({"statement": {"light": "real light"}})
    real = server_statement(replace(_FACTS, simulated=False), _record())
    require_real_light(sign(real, None))
    with pytest.raises(ConfigurationError, match="stays marked as simulated"):
        replace(real, simulated=True)


def test_private_key_is_the_owners_alone_when_written(tmp_path: Path) -> None:
    path, key = tmp_path / "key.pem", generate_key()
    write_key(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_key_text(read_private_key(path)) == public_key_text(key)
    with pytest.raises(OutputError, match="never overwritten"):
        write_key(path, key)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="0640"):
        read_private_key(path)


def test_private_key_is_refused_when_the_file_is_missing_or_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_private_key(tmp_path / "none.pem")
    other = tmp_path / "other.pem"
    other.write_text("no key")
    other.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not a PEM file"):
        read_private_key(other)


def test_verification_names_the_numbers_when_the_record_gives_others() -> None:
    key, record = generate_key(), _record()
    statement = server_statement(_FACTS, record)
    certificate = _read_back(sign(statement, key))
    assert verify_certificate(certificate, rebuilt=statement) == ()
    signed_lie = replace(statement, total=replace(statement.total, total_bits=1.0))
    (found,) = verify_certificate(_read_back(sign(signed_lie, key)), rebuilt=statement)
    assert found.what == "numbers"
    assert found.reason.endswith("total.total_bits")


def test_differences_are_named_when_values_are_not_the_same() -> None:
    one = {"a": 1.0, "b": [1, 2], "c": {"d": True}, "e": "x"}
    assert list(differences(one, _read_back(one))) == []
    assert list(differences(one, {**one, "a": 1.0 + 1e-9})) == []
    other = {"a": 1.1, "b": [1], "c": {"d": 1}, "f": None}
    assert list(differences(one, other)) == ["a", "b", "c.d", "e", "f"]
    assert list(differences([1, [2]], [1, [3]], "x")) == ["x[1][0]"]
