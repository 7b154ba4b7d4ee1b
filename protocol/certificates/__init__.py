"""Signed statements of what a session can have leaked: one for each side.

`server_statement` and `client_statement` put a statement together from what a session recorded,
`sign` and `verify_certificate` guard it. A statement of a simulated session says so for ever.
"""

from protocol.certificates.build import RunFacts, client_statement, server_statement
from protocol.certificates.canonical import canonical_json, fingerprint, parse_json
from protocol.certificates.formats import earlier_format
from protocol.certificates.ledger_check import ledger_mismatches
from protocol.certificates.ledger_pool import pool_mismatches
from protocol.certificates.record import (
    LayerRecord,
    LayerThresholds,
    LedgerRecord,
    SessionRecord,
    TestRecord,
    Thresholds,
    session_record_from,
)
from protocol.certificates.signing import (
    Mismatch,
    generate_key,
    public_key_text,
    read_private_key,
    require_real_light,
    sign,
    verify_certificate,
    write_key,
)
from protocol.certificates.statement import (
    DeviceTrust,
    Estimate,
    LayerBits,
    LedgerState,
    Statement,
    TotalBits,
)

__all__ = [
    "DeviceTrust",
    "Estimate",
    "LayerBits",
    "LayerRecord",
    "LayerThresholds",
    "LedgerRecord",
    "LedgerState",
    "Mismatch",
    "RunFacts",
    "SessionRecord",
    "Statement",
    "TestRecord",
    "Thresholds",
    "TotalBits",
    "canonical_json",
    "client_statement",
    "earlier_format",
    "fingerprint",
    "generate_key",
    "ledger_mismatches",
    "parse_json",
    "pool_mismatches",
    "public_key_text",
    "read_private_key",
    "require_real_light",
    "server_statement",
    "session_record_from",
    "sign",
    "verify_certificate",
    "write_key",
]
