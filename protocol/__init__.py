"""Parties, encoding, verification, leakage, ledger, control messages and models."""
