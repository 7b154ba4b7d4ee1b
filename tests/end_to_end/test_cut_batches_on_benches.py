"""A convolution over simulated benches, its positions in several blocks: each a burst of its own.

Honest runs are refused with the policy's false-alarm rate; seeds are fixed.
"""

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch

from drivers.backend import ChoosesEarly, OpticalLink
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.encoding import make_plan
from protocol.ledger import WeightLedger
from protocol.models.graph import Conv2d, Flatten, Graph, InputScaling
from protocol.models.model import LayerWeights, Model
from protocol.randomness import SeededBits
from protocol.server import ServerParty, ServerPolicy
from tests.amplifier_bench import open_amplifier_bench
from tests.homodyne_bench import open_homodyne_bench
from tests.unit.protocol.session_bench import normals
from tests.waveform_bench import open_bench

SAMPLES, POSITIONS, ROWS, BLOCK = 4, 9, 24, 5

Opened: TypeAlias = Callable[[], OpticalLink]


def convolution() -> Model:
    """24 rows of 6 weights, at 9 positions of a sample."""
    graph = Graph(
        input_shape=(1, 4, 5),
        layers=(
            Conv2d(
                in_channels=1,
                out_channels=ROWS,
                kernel=(2, 3),
                stride=(1, 1),
                padding=(0, 0),
                dilation=(1, 1),
                bias=False,
            ),
            Flatten(),
        ),
        scaling=InputScaling(offset=0.0, factor=1.0),
    )
    weights = {0: LayerWeights(weight=normals(ROWS, 1, 2, 3, seed=8), bias=None)}
    return Model(graph=graph, weights=weights)


@pytest.mark.parametrize(
    "opened",
    [
        lambda: open_bench(seed=2).link,
        lambda: open_homodyne_bench(seed=2).link,
        lambda: open_amplifier_bench(seed=2).link,
    ],
    ids=["heterodyne", "homodyne", "amplifier"],
)
def test_convolution_is_accepted_and_right_when_its_positions_are_cut(opened: Opened) -> None:
    model, link = convolution(), opened()
    plan = make_plan(
        model,
        (10.0,),
        encoding="real",
        modes_per_frame=8,
        samples_per_block=2,
        inputs_per_block=BLOCK,
    )
    ledger = WeightLedger.create(None, model.digest, {0: ROWS}, None)
    early = link.random_bits if isinstance(link, ChoosesEarly) else SeededBits(5)
    receiver = link.client.describe().receiver
    server = ServerParty(
        model, plan, link.server, ServerPolicy(receiver=receiver), ledger, random_bits=early
    )
    samples = normals(SAMPLES, 1, 4, 5, seed=4)
    outputs = ClientParty(link.client, LocalChannel(server.handle)).infer(samples)
    assert server.record.accepted
    # Two samples of a batch have 18 data vectors: three blocks of 5 and one of 3.
    assert [record.block.inputs for record in server.record.blocks] == [5, 5, 5, 3] * 2
    assert ledger.totals().verified == 8
    assert server.record.sent_inputs == {0: SAMPLES * POSITIONS}
    # 10 photons a symbol: a signal-to-noise ratio above 1 per output. 864 outputs correlate by 0.7
    # and more; 0.5 is nine standard deviations below.
    pair = torch.stack([outputs.flatten(), model.forward(samples).flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.5
