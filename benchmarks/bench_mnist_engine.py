"""10,000 images through 784-784-10 with verification, against the bare arithmetic.

The reference ("floor") does what nobody can leave out: the two matrix products and one normal
number per outcome, float32, same threads. The engine adds encoding, both parties and their
messages, the ledger, random quadratures, the returned light's statistics and all tests.

Two floors are timed: all images at once, as one would write it, and in the engine's blocks, which
stays in the processor's cache and is the harder reference.
"""

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from drivers.receivers import Amplifier
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.encoding import make_plan
from protocol.ledger import WeightLedger
from protocol.models.graph import Graph, InputScaling, Linear, Relu
from protocol.models.model import LayerWeights, Model
from protocol.server import ServerParty, ServerPolicy
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink

SAMPLES = 10_000


def make_model(generator: torch.Generator) -> Model:
    graph = Graph(
        input_shape=(784,),
        layers=(
            Linear(inputs=784, outputs=784, bias=False),
            Relu(),
            Linear(inputs=784, outputs=10, bias=False),
        ),
        scaling=InputScaling(offset=127.5, factor=1 / 127.5),
    )
    weights = {
        0: LayerWeights(weight=torch.randn(784, 784, generator=generator) / 28),
        2: LayerWeights(weight=torch.randn(10, 784, generator=generator) / 28),
    }
    return Model(graph=graph, weights=weights)


def floor(model: Model, inputs: Tensor, block: int) -> Tensor:
    first, second = model.matrix(0).T, model.matrix(2).T
    parts = []
    for start in range(0, len(inputs), block):
        hidden = inputs[start : start + block] @ first
        hidden += torch.randn(hidden.shape)
        torch.relu_(hidden)
        out = hidden @ second
        out += torch.randn(out.shape)
        parts.append(out.argmax(1))
    return torch.cat(parts)


def engine(model: Model, inputs: Tensor, block: int, receiver: Amplifier, ledger: str) -> Tensor:
    link = SymbolLink(LinkSettings(receiver=receiver, device="cpu"))
    plan = make_plan(
        model, (0.5, 0.5), encoding="real", modes_per_frame=4096, samples_per_block=block
    )
    rows = {entry.layer: entry.rows for entry in plan.layers}
    path = ledger or None
    server = ServerParty(
        model,
        plan,
        link.server,
        ServerPolicy(receiver=receiver),
        WeightLedger.create(path, model.digest, rows, None),
    )
    return ClientParty(link.client, LocalChannel(server.handle)).infer(inputs).argmax(1)


def timed(work: Callable[[], Tensor]) -> tuple[float, float]:
    """Wall and processor seconds."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--block", type=int, default=2500, help="samples per verification block")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    model = make_model(generator)
    raw = torch.rand(SAMPLES, 784, generator=generator) * 255
    scaled = (raw - 127.5) / 127.5
    block, receiver = arguments.block, Amplifier(gain=2.0)
    (
        floor(model, scaled, SAMPLES),
        floor(model, scaled, block),
        engine(model, raw[:2000], block, receiver, ""),
    )
    pairs = []
    for _ in range(arguments.repeats):
        pairs.append(
            (
                timed(lambda: floor(model, scaled, SAMPLES)),
                timed(lambda: floor(model, scaled, block)),
                timed(lambda: engine(model, raw, block, receiver, "")),
            )
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process: {memory:.0f} MiB ({torch.get_num_threads()} threads)")
    for index, clock in enumerate(("wall", "processor")):
        once, blocked, engines = ([row[way][index] for row in pairs] for way in range(3))
        for name, times in (
            ("floor at once", once),
            ("floor in blocks", blocked),
            ("engine with summaries", engines),
        ):
            print(
                f"{clock:10s} {name:24s} min {min(times):.3f} s  "
                f"median {statistics.median(times):.3f} s"
            )
        for name, floors in (("floor at once", once), ("floor in blocks", blocked)):
            ratios = [b / a for a, b in zip(floors, engines, strict=True)]
            print(
                f"{clock:10s} ratio engine / {name} (two matrix products and one normal per "
                f"outcome): median {statistics.median(ratios):.2f}, of the minima "
                f"{min(engines) / min(floors):.2f}"
            )


if __name__ == "__main__":
    main()
