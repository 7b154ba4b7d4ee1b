"""Since when a test that fails speaks against a session."""

import math

import numpy as np
import pytest

from protocol.verification.session import AuditedReturn, SessionMonitor
from tests.unit.protocol.verification.test_session_monitor import (
    NOTHING,
    limits_of,
    summary_of,
    verdict_of,
)


@pytest.mark.parametrize("quiet", [0, 1, 70])
def test_running_sum_speaks_against_blocks_since_it_was_last_at_zero(quiet: int) -> None:
    """Blocks beside the mean on the other side keep the sum at 0; then scores of 1 add up."""
    monitor = SessionMonitor(limits_of(300))
    reference = limits_of(300).running_references[1]
    for _ in range(quiet):
        assert not monitor.add(NOTHING, verdict_of(-0.05, deviation=reference), 0.0)
    assert monitor.clean_blocks == quiet  # nothing fails, nothing is spoken against
    blocks = quiet
    while not monitor.add(NOTHING, verdict_of(1.0, deviation=reference), 0.0):
        blocks += 1
    assert blocks > quiet + 10
    assert monitor.clean_blocks == quiet


def test_the_earliest_sum_counts_when_several_fail_at_once() -> None:
    """A block beyond all measure: whatever sum was last at 0 longest ago decides."""
    limits = limits_of(300)
    monitor = SessionMonitor(limits)
    reference = limits.running_references[1]
    for score in (-1.0, 0.3, 0.3, 0.3):
        assert not monitor.add(NOTHING, verdict_of(score, deviation=reference), 0.0)
    assert monitor.add(NOTHING, verdict_of(1e6, deviation=reference), 0.0)
    # Sums for small shifts rose with the first 0.3, those for large ones stayed at 0 until the end.
    assert monitor.clean_blocks == 1


def test_all_blocks_are_spoken_against_when_a_sum_is_not_a_number() -> None:
    monitor = SessionMonitor(limits_of(5))
    monitor.add(NOTHING, verdict_of(math.nan), 0.0)
    assert monitor.failed
    assert monitor.clean_blocks == 0


def test_tests_of_the_whole_speak_against_all_blocks() -> None:
    quiet = verdict_of(-0.05, deviation=limits_of(4).running_references[1])
    rails = SessionMonitor(limits_of(4))
    for _ in range(3):
        rails.add(NOTHING, quiet, 5.0)
    assert rails.add(NOTHING, quiet, 1e-9) == "rails"
    assert rails.clean_blocks == 0

    moment = SessionMonitor(limits_of(4))
    values = np.random.default_rng(1).standard_normal(40_000)
    values[::100] *= 8
    assert moment.add(summary_of(values), quiet, 0.0) == "fourth moment"
    assert moment.clean_blocks == 0

    audits = SessionMonitor(limits_of(4, audit_share=0.25))
    audits.add(NOTHING, quiet, 0.0)
    loud = AuditedReturn(
        frames=1000, energy_snu=2000.0, white_variance_snu=1.0, excess_noise_snu=0.0
    )
    assert audits.add_audit((loud, loud)) == "audited data, X, audited data, P"
    assert audits.clean_blocks == 0
