"""Sessions of bright light on homodyne benches whose few coins may all say P."""

import pytest

from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.client_policy import ClientPolicy
from protocol.encoding import make_plan
from protocol.ledger import WeightLedger
from protocol.server import ServerParty, ServerPolicy
from tests.homodyne_bench import open_homodyne_bench
from tests.unit.protocol.session_bench import normals, perceptron

MODES, ROWS, BATCH, SAMPLES = 31, 48, 3, 12
PHOTONS = 40.0


@pytest.mark.parametrize("seed", [2, 3, 16, 22])
def test_honest_session_passes_when_blocks_were_measured_in_p_alone(seed: int) -> None:
    """At these seeds all coins of a block say P; the false-alarm rate is 1e-6."""
    link = open_homodyne_bench(seed=seed, modes_per_frame=64, calibration_samples=1 << 20).link
    model = perceptron((MODES, ROWS), seed=3)
    info = link.client.describe()
    plan = make_plan(
        model,
        (PHOTONS,),
        encoding="real",
        modes_per_frame=info.modes_per_frame,
        rows_per_block=0,
        samples_per_block=BATCH,
    )
    ledger = WeightLedger.create(None, model.digest, {0: ROWS}, None)
    server = ServerParty(
        model,
        plan,
        link.server,
        ServerPolicy(receiver=info.receiver),
        ledger,
        random_bits=link.random_bits,
    )
    client = ClientParty(link.client, LocalChannel(server.handle), policy=ClientPolicy(seed=seed))
    client.infer(normals(SAMPLES, MODES, seed=seed))
    assert server.record.accepted, server.record.reason
    tested = [
        {score.name: score for score in block.verdict.scores}
        for block in server.record.blocks
        if block.verdict is not None
    ]
    alone = [scores["P variance"] for scores in tested if "X variance" not in scores]
    assert alone
    # What is turned into P of 40 photons is expected there as in any other block.
    for score in alone:
        noise = 1 + link.server.describe().electronic_noise_snu
        assert score.expected - noise > 0.06
