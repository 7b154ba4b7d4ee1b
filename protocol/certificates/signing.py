"""Ed25519 keys, signatures, and what of a certificate does not match.

A certificate is a JSON object of a statement, and a signature over the statement's canonical bytes
with a prefix of its own, so that no signature made for anything else can be passed off as one.
Ed25519: RFC 8032, from the `cryptography` package.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from drivers.errors import ConfigurationError, DataError, OutputError, VerificationError
from protocol.certificates.canonical import canonical_json
from protocol.certificates.compare import differences
from protocol.certificates.formats import FORMAT, earlier_format, in_common, is_format
from protocol.certificates.statement import REAL, SIMULATED, Statement

__all__ = [
    "Mismatch",
    "generate_key",
    "public_key_text",
    "read_private_key",
    "require_real_light",
    "sign",
    "verify_certificate",
    "write_key",
]

_CONTEXT = b"veilight certificate 1\n"
_ALGORITHM = "Ed25519"
_MODE = 0o600
_MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One thing about a certificate that is not as it must be.

    Attributes:
        what: signature, key, format, light, ledger head, thresholds, result or numbers.
        reason: what was found and what was expected.
    """

    what: str
    reason: str


def generate_key() -> Ed25519PrivateKey:
    """A new private key from the operating system's random generator."""
    return Ed25519PrivateKey.generate()


def public_key_text(key: Ed25519PrivateKey) -> str:
    """The public key, 64 hexadecimal digits: what the other side must be told by another way."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a private key as a new PEM file that only its owner may read (mode 0600).

    Args:
        path: must not exist: a key is never overwritten.
        key: of `generate_key`.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Made with its mode, so that nobody can open it in between; the mask cannot widen it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError as error:
        raise OutputError(
            f"key {path}: exists already and a key is never overwritten; choose another name"
        ) from error
    except OSError as error:
        raise OutputError(f"key {path}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), _MODE)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key that nobody but its owner can read.

    Raises:
        ConfigurationError: the file is missing, open to others, or no Ed25519 key.
    """
    try:
        mode = path.stat().st_mode & 0o777
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"key {path}: cannot be read: {error.strerror}; make one with veilight certify keys"
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"key {path}: has the mode {mode:04o}, others may use it; chmod 600 it, and make a new "
            "key if others had access"
        )
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"key {path}: not a PEM file of a private key without a password: {error}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"key {path}: not an Ed25519 key; make one with certify keys")
    return key


def sign(statement: Statement, key: Ed25519PrivateKey | None) -> dict[str, Any]:
    """A certificate: the statement and its signature, as plain data.

    Args:
        statement: what is signed.
        key: None leaves the certificate unsigned, which `verify_certificate` reports.
    """
    content = asdict(statement)
    signature = None
    if key is not None:
        signature = {
            "algorithm": _ALGORITHM,
            "public_key": public_key_text(key),
            "value": key.sign(_CONTEXT + canonical_json(content)).hex(),
        }
    return {"statement": content, "signature": signature}


def verify_certificate(
    certificate: Mapping[str, Any],
    *,
    public_key: str | None = None,
    ledger_head: tuple[int, str] | None = None,
    thresholds_sha256: str | None = None,
    result_sha256: str | None = None,
    rebuilt: Statement | None = None,
) -> tuple[Mismatch, ...]:
    """Everything about a certificate that does not match; empty if all that was given does.

    A statement of an earlier format is held to what it shares with today's (`formats`).

    Args:
        certificate: as read from its file.
        public_key: of the side that must have signed, 64 hexadecimal digits; None takes the key
            in the certificate, which shows that it was not altered, not who signed it.
        ledger_head: entries and hash where the ledger must have stood; None does not compare.
        thresholds_sha256: of the thresholds that were fixed beforehand; None does not compare.
        result_sha256: of the record's file; None does not compare.
        rebuilt: the statement as made again from the record; None does not compare.

    Raises:
        DataError: not a certificate at all.
    """
    statement = certificate.get("statement")
    if not isinstance(statement, Mapping):
        raise DataError("certificate: it has no statement; give a file that certify wrote")
    found = [*_form(statement), *_signature(statement, certificate.get("signature"), public_key)]
    if ledger_head is not None:
        ledger = statement.get("ledger")
        known = ledger if isinstance(ledger, Mapping) else {}
        head = (known.get("entries"), known.get("hash"))
        if head != ledger_head:
            found.append(_differs("ledger head", _head(*head), _head(*ledger_head)))
    for what, name, expected in (
        ("thresholds", "thresholds_sha256", thresholds_sha256),
        ("result", "result_sha256", result_sha256),
    ):
        if expected is not None and statement.get(name) != expected:
            found.append(_differs(what, str(statement.get(name))[:12], expected[:12]))
    if rebuilt is not None:
        stated, given = statement, asdict(rebuilt)
        if earlier_format(statement) is not None:
            stated, given = in_common(stated), in_common(given)
        odd = list(differences(stated, given))
        if odd:
            reason = f"not what the record gives: {', '.join(odd[:_MOST_NAMED])}"
            found.append(Mismatch(what="numbers", reason=reason))
    return tuple(found)


def require_real_light(certificate: Mapping[str, Any]) -> None:
    """Refuse a certificate of simulated light where a claim about real light is made.

    Raises:
        VerificationError: the session was simulated, or does not say.
    """
    statement = certificate.get("statement")
    if not isinstance(statement, Mapping) or statement.get("simulated") is not False:
        raise VerificationError(
            "certificate: SIMULATED; it says nothing about real light. Run the session over a "
            "bench of real instruments and certify that run."
        )


def _form(statement: Mapping[str, Any]) -> list[Mismatch]:
    found = []
    if not is_format(statement.get("format")):
        found.append(_differs("format", str(statement.get("format")), FORMAT))
    light = SIMULATED if statement.get("simulated") is not False else REAL
    if statement.get("light") != light:
        found.append(_differs("light", str(statement.get("light")), light))
    return found


def _signature(
    statement: Mapping[str, Any], signature: object, public_key: str | None
) -> list[Mismatch]:
    if not isinstance(signature, Mapping):
        return [Mismatch(what="signature", reason="there is none: anybody can have written it")]
    named = str(signature.get("public_key"))
    try:
        if signature.get("algorithm") != _ALGORITHM:
            raise ValueError(f"the algorithm is {signature.get('algorithm')!r}")
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(named))
        key.verify(
            bytes.fromhex(str(signature.get("value"))),
            _CONTEXT + canonical_json(dict(statement)),
        )
    except (InvalidSignature, ValueError) as error:
        reason = str(error) or "the statement was altered after it was signed"
        return [Mismatch(what="signature", reason=reason)]
    if public_key is not None and named != public_key.strip().lower():
        return [_differs("key", named[:12], public_key.strip()[:12])]
    return []


def _differs(what: str, stated: str, expected: str) -> Mismatch:
    return Mismatch(what=what, reason=f"the certificate says {stated}, expected was {expected}")


def _head(entries: object, digest: object) -> str:
    return f"entry {entries} ({str(digest)[:12]})"
