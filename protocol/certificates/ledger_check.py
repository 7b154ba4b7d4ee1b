"""Does a certificate agree with the ledger itself, and not only with what the run wrote of it?"""

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.certificates.signing import Mismatch
from protocol.ledger.history import LedgerHistory

__all__ = ["ledger_mismatches"]


def ledger_mismatches(
    certificate: Mapping[str, Any], history: LedgerHistory
) -> tuple[Mismatch, ...]:
    """Everything that the ledger's hash chain contradicts; empty if nothing.

    The ledger may have gone on since: the entry that the certificate names must be in it, with its
    hash. A server's thresholds must be those of the session's first debit, which stands in the
    chain before any of the session's light. A session that the ledger has refused cannot be an
    accepted one, nor can copies have passed of which it holds none.

    Args:
        certificate: as read from its file.
        history: of the ledger.
    """
    statement = certificate.get("statement")
    known = statement.get("ledger") if isinstance(statement, Mapping) else None
    if not isinstance(statement, Mapping) or not isinstance(known, Mapping):
        return (Mismatch(what="ledger", reason="the certificate names none"),)
    found = []
    entries, digest = known.get("entries"), known.get("hash")
    held = history.hash_of(entries) if isinstance(entries, int) else None
    if held is None or held != digest:
        found.append(
            Mismatch(
                what="ledger head",
                reason=f"the certificate says entry {entries} ({str(digest)[:12]}), the ledger has "
                f"{len(history.hashes)} entries and there {str(held)[:12]}",
            )
        )
    if statement.get("side") == "server":
        found += _thresholds(statement, known, history)
        found += _verdict(statement, str(known.get("session")), history)
    return tuple(found)


def _thresholds(
    statement: Mapping[str, Any], known: Mapping[str, Any], history: LedgerHistory
) -> list[Mismatch]:
    fixed = history.commitments.get(str(known.get("session")))
    if fixed is None:
        return [Mismatch(what="ledger", reason="it never debited the certificate's session")]
    stated = statement.get("thresholds_sha256")
    if fixed.thresholds_sha256 != stated or fixed.entry != known.get("thresholds_entry"):
        return [
            Mismatch(
                what="thresholds in the ledger",
                reason=f"the certificate says {str(stated)[:12]} in entry "
                f"{known.get('thresholds_entry')}, the session's first debit is entry "
                f"{fixed.entry} with {str(fixed.thresholds_sha256)[:12]}",
            )
        ]
    return []


def _verdict(statement: Mapping[str, Any], session: str, history: LedgerHistory) -> list[Mismatch]:
    found = []
    refused = history.refusals.get(session)
    if refused is not None and statement.get("accepted"):
        found.append(
            Mismatch(
                what="verdict in the ledger",
                reason=f"the certificate calls the session accepted, entry {refused} refuses it",
            )
        )
    layers = statement.get("layers")
    stated = isinstance(layers, Sequence) and any(
        isinstance(layer, Mapping) and layer.get("copies_verified") for layer in layers
    )
    if stated and session in history.commitments and not history.passed.get(session):
        found.append(
            Mismatch(
                what="verified copies",
                reason="the certificate counts copies that passed, the ledger has none of the "
                "session",
            )
        )
    return found
