"""How long the longest burst of a run over a bench may get, audits included."""

from types import SimpleNamespace
from typing import cast

import pytest

from veilight.cli._infer import InferenceJob
from veilight.cli._infer_bench import _announced


@pytest.mark.parametrize(
    ("audit_share", "probe_share", "samples", "announced"),
    [(0.0, 0.0, 9, 9), (0.25, 0.0, 9, 60), (0.0, 0.1, 9, 60), (0.25, 0.1, 90, 90)],
)
def test_few_samples_count_as_a_whole_batch_when_dummies_or_probes_fill_it_up(
    audit_share: float, probe_share: float, samples: int, announced: int
) -> None:
    protocol = SimpleNamespace(
        audit_share=audit_share, probe_share=probe_share, samples_per_block=60
    )
    job = SimpleNamespace(
        configuration=SimpleNamespace(protocol=protocol), data=SimpleNamespace(samples=samples)
    )
    assert _announced(cast(InferenceJob, job)) == announced
