"""Tests of the returned light: what is expected, how surprising is what came, accept or abort."""

from protocol.verification.expected import ReturnExpectation, expected_return
from protocol.verification.statistics import tail_score
from protocol.verification.verifier import Evidence, TestScore, Verdict, Verifier

__all__ = [
    "Evidence",
    "ReturnExpectation",
    "TestScore",
    "Verdict",
    "Verifier",
    "expected_return",
    "tail_score",
]
