"""A small network over the bench with an amplifier, with the protocol's own verdict.

Honest runs are refused with the policy's false-alarm rate; seeds are fixed.
"""

import pytest
import torch

from drivers.errors import VeilightError
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.encoding import make_plan
from protocol.ledger import WeightLedger
from protocol.models.model import Model
from protocol.randomness import SeededBits
from protocol.server import ServerParty, ServerPolicy
from sim_backend.scene.mesh import MeshSettings
from tests.amplifier_bench import OpenAmplifierBench, bench_settings, open_amplifier_bench
from tests.unit.protocol.session_bench import normals, perceptron

INPUTS = 12


def parties(opened: OpenAmplifierBench, model: Model) -> tuple[ClientParty, ServerParty]:
    link = opened.link
    plan = make_plan(
        model,
        (4.0,),
        encoding="real",
        modes_per_frame=8,
        rows_per_block=0,
        samples_per_block=6,
    )
    rows = {index: model.graph.optical_layer(index).rows for index in model.graph.optical}
    server = ServerParty(
        model,
        plan,
        link.server,
        ServerPolicy(receiver=link.settings.receiver),
        WeightLedger.create(None, model.digest, rows, None),
        random_bits=SeededBits(5),
    )
    return ClientParty(link.client, LocalChannel(server.handle)), server


def test_network_runs_and_is_accepted_over_the_bench() -> None:
    model = perceptron((7, 48), seed=3)
    client, server = parties(open_amplifier_bench(seed=3), model)
    samples = normals(INPUTS, 7, seed=4)
    outputs = client.infer(samples)
    assert server.record.accepted
    assert len(server.record.blocks) == INPUTS // 6
    # 4 photons a symbol give a signal-to-noise ratio above 1 per output: the correlation of 576
    # outputs is above 0.6, and 0.4 is ten standard deviations below.
    pair = torch.stack([outputs.flatten(), model.forward(samples).flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.4


def test_network_is_refused_when_the_meshes_are_not_calibrated() -> None:
    """Phase offsets of 0.5 rad that nobody knows of: the light does not come back as sent."""
    settings = bench_settings(mesh=MeshSettings(ports=8))
    client, server = parties(open_amplifier_bench(settings, seed=3), perceptron((7, 48), seed=3))
    with pytest.raises(VeilightError):
        client.infer(normals(INPUTS, 7, seed=4))
    assert not any(record.accepted and record.verdict for record in server.record.blocks)
