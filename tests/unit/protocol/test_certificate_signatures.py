"""Certificates: how records are read, what a signature guards, what verification names."""

import copy
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
    canonical_json,
    earlier_format,
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
from tests.unit.protocol.certificate_records import counted_layer, read_back, session_record
from tests.unit.protocol.run_facts import FACTS


def test_record_is_the_same_when_written_and_read_back() -> None:
    record = session_record(counted_layer(), counted_layer(0, 3, index=1))
    read = session_record_from(read_back(asdict(record)))
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
    data = read_back(asdict(session_record()))
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
    key, record = generate_key(), session_record()
    certificate = read_back(sign(server_statement(FACTS, record), key))
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
    key, record = generate_key(), session_record()
    certificate = read_back(sign(server_statement(FACTS, record), key))

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
    assert found(read_back(sign(server_statement(FACTS, record), None))) == ["signature"]
    with pytest.raises(DataError, match="no statement"):
        verify_certificate({})


def test_signature_is_of_no_use_elsewhere_when_the_context_is_missing() -> None:
    """The prefix is signed, too: the statement's bytes alone do not verify."""
    from cryptography.exceptions import InvalidSignature

    key = generate_key()
    certificate = sign(server_statement(FACTS, session_record()), key)
    value = bytes.fromhex(certificate["signature"]["value"])
    with pytest.raises(InvalidSignature):
        key.public_key().verify(value, canonical_json(certificate["statement"]))


def test_claim_about_real_light_is_refused_when_the_session_was_simulated() -> None:
    simulated = sign(server_statement(FACTS, session_record()), None)
    assert simulated["statement"]["light"].startswith("SIMULATED")
    with pytest.raises(VerificationError, match="SIMULATED"):
        require_real_light(simulated)
    with pytest.raises(VerificationError, match="SIMULATED"):
        require_real_light({"statement": {"light": "real light"}})
    real = server_statement(replace(FACTS, simulated=False), session_record())
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
    key, record = generate_key(), session_record()
    statement = server_statement(FACTS, record)
    certificate = read_back(sign(statement, key))
    assert verify_certificate(certificate, rebuilt=statement) == ()
    signed_lie = replace(statement, total=replace(statement.total, total_bits=1.0))
    (found,) = verify_certificate(read_back(sign(signed_lie, key)), rebuilt=statement)
    assert found.what == "numbers"
    assert found.reason.endswith("total.total_bits")


def _of_format_2(statement: Any) -> Any:
    """A statement as the version before wrote it, with the bits that it had."""
    old = read_back(asdict(statement))
    old["format"] = "veilight certificate 2"
    old["adversary"] = ["a client"]
    for name in ("worst_bits_with_memory", "all_sessions_worst_bits_with_memory"):
        del old["total"][name]
    for item in old["trust"]:
        del item["deviations"]
    for layer in old["layers"]:
        del layer["bits_with_memory"], layer["upper_bound"]
        layer["bits_per_value"] *= 0.9
    return old


def test_certificate_of_the_format_before_is_held_to_what_it_shares() -> None:
    statement = server_statement(FACTS, session_record(counted_layer(30, 20)))
    key, old = generate_key(), _of_format_2(statement)
    value = key.sign(b"veilight certificate 1\n" + canonical_json(old)).hex()
    signature = {"algorithm": "Ed25519", "public_key": public_key_text(key), "value": value}
    certificate = {"statement": old, "signature": signature}
    head = (7, "cd" * 32)
    assert verify_certificate(certificate, ledger_head=head, rebuilt=statement) == ()
    assert "added the bits of kept and of verified light" in str(earlier_format(old))
    assert earlier_format(asdict(statement)) is None

    altered = copy.deepcopy(certificate)
    altered["statement"]["estimates"][0]["bound"] *= 1.01
    found = verify_certificate(altered, rebuilt=statement)
    assert [entry.what for entry in found] == ["signature", "numbers"]
    assert found[1].reason.endswith("estimates[0].bound")
    unknown = copy.deepcopy(certificate)
    unknown["statement"]["format"] = "veilight certificate 1"
    assert [entry.what for entry in verify_certificate(unknown)] == ["format", "signature"]
    assert earlier_format(unknown["statement"]) is None


def test_differences_are_named_when_values_are_not_the_same() -> None:
    one = {"a": 1.0, "b": [1, 2], "c": {"d": True}, "e": "x"}
    assert list(differences(one, read_back(one))) == []
    assert list(differences(one, {**one, "a": 1.0 + 1e-9})) == []
    other = {"a": 1.1, "b": [1], "c": {"d": 1}, "f": None}
    assert list(differences(one, other)) == ["a", "b", "c.d", "e", "f"]
    assert list(differences([1, [2]], [1, [3]], "x")) == ["x[1][0]"]
