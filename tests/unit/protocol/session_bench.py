"""Small networks and sessions for tests of the protocol engine.

`Bench` puts two parties on a simulated link, with wrappers that write down every optics call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from drivers.backend import (
    Block,
    ClientOpticsInfo,
    ReturnProjection,
    ReturnSummary,
    ServerOpticsInfo,
)
from protocol.channel import LocalChannel
from protocol.client import ClientParty, Progress
from protocol.client_policy import ClientPolicy
from protocol.encoding import make_plan
from protocol.ledger import DataLedger, WeightLedger
from protocol.models.graph import (
    Conv2d,
    Flatten,
    Graph,
    InputScaling,
    Linear,
    MaxPool2d,
    Relu,
)
from protocol.models.model import LayerWeights, Model
from protocol.plan import Encoding, LayerPlan, Plan
from protocol.randomness import SeededBits
from protocol.server import ServerParty, ServerPolicy
from sim_backend.adversaries import HONEST, ReturnBehaviour
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink

__all__ = [
    "LAB",
    "Bench",
    "SpyClientOptics",
    "SpyServerOptics",
    "convolutional",
    "perceptron",
]

LAB = DetectorSettings(
    efficiency=0.85,
    visibility=0.98,
    electronic_noise_snu=0.05,
    phase_error_rad=0.03,
    phase_memory_frames=50.0,
    oscillator_drift=0.001,
    oscillator_memory_inputs=100.0,
)
"""A detector as laboratories have them."""


def normals(*shape: int, seed: int = 0) -> Tensor:
    """Standard normals from a seed of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def perceptron(
    sizes: tuple[int, ...] = (12, 9, 4), *, bias: bool = True, seed: int = 0, offset: float = 0.5
) -> Model:
    """Linear layers with Relu between them."""
    layers: list[Linear | Relu] = []
    weights = {}
    for inputs, outputs in pairwise(sizes):
        if layers:
            layers.append(Relu())
        number = len(layers)
        layers.append(Linear(inputs=inputs, outputs=outputs, bias=bias))
        weights[number] = LayerWeights(
            weight=normals(outputs, inputs, seed=100 * seed + number),
            bias=normals(outputs, seed=100 * seed + 50 + number) if bias else None,
        )
    scaling = InputScaling(offset=offset, factor=0.75)
    return Model(
        graph=Graph(input_shape=(sizes[0],), layers=tuple(layers), scaling=scaling), weights=weights
    )


def convolutional(seed: int = 0) -> Model:
    """A convolution with stride, padding and dilation, pooling, a linear layer."""
    graph = Graph(
        input_shape=(2, 8, 7),
        layers=(
            Conv2d(
                in_channels=2,
                out_channels=3,
                kernel=(3, 2),
                stride=(2, 1),
                padding=(2, 1),
                dilation=(1, 2),
            ),
            Relu(),
            MaxPool2d(kernel=(2, 2), stride=(2, 2)),
            Flatten(),
            Linear(inputs=18, outputs=4),
        ),
        scaling=InputScaling(offset=-0.25, factor=2.0),
    )
    weights = {
        0: LayerWeights(weight=normals(3, 2, 3, 2, seed=seed + 1), bias=normals(3, seed=seed + 2)),
        4: LayerWeights(weight=normals(4, 18, seed=seed + 3), bias=normals(4, seed=seed + 4)),
    }
    return Model(graph=graph, weights=weights)


class SpyServerOptics:
    """The server's facet of a link, with a list of calls and optional hooks before each."""

    def __init__(self, link: SymbolLink, calls: list[str]) -> None:
        self._facet, self.calls = link.server, calls
        self.sent: list[tuple[Block, Tensor]] = []
        self.before_send: Callable[[Block], None] = lambda block: None
        self.simulated = True

    def describe(self) -> ServerOpticsInfo:
        return replace(self._facet.describe(), simulated=self.simulated)

    def send(self, block: Block, means_snu: Tensor) -> None:
        self.before_send(block)
        self.calls.append(f"send {block.name}")
        self.sent.append((block, means_snu.clone()))
        self._facet.send(block, means_snu)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        self.calls.append(f"collect {block.name}")
        return self._facet.collect_full(block, quadratures)

    def collect_summary(
        self, block: Block, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        self.calls.append(f"collect {block.name}")
        return self._facet.collect_summary(block, quadratures, reference_gain)

    def keep_returns(self) -> None:
        self._facet.keep_returns()

    def project(self, block: Block, data: Tensor, reference_gain: float) -> ReturnProjection:
        self.calls.append(f"project {block.name}")
        return self._facet.project(block, data, reference_gain)

    def forget_returns(self) -> None:
        self._facet.forget_returns()


class SpyClientOptics:
    """The client's facet of a link, with a list of calls and copies of what crossed it."""

    def __init__(self, link: SymbolLink, calls: list[str]) -> None:
        self._facet, self.calls = link.client, calls
        self.loaded: list[Tensor] = []
        self.outcomes: list[Tensor] = []
        self.before_measure: Callable[[Block], None] = lambda block: None

    def describe(self) -> ClientOpticsInfo:
        return self._facet.describe()

    def load(self, block: Block, data: Tensor) -> None:
        self.calls.append(f"load {block.name}")
        self.loaded.append(data.clone())
        self._facet.load(block, data)

    def measure(self, block: Block) -> Tensor:
        self.before_measure(block)
        self.calls.append(f"measure {block.name}")
        outcomes = self._facet.measure(block)
        self.outcomes.append(outcomes.clone())
        return outcomes


@dataclass(kw_only=True)
class Bench:
    """Two parties side by side; fields with defaults are what a test may change."""

    model: Model
    link_settings: LinkSettings = field(default_factory=lambda: LinkSettings(seed=1, device="cpu"))
    behaviour: ReturnBehaviour = HONEST
    encoding: Encoding = "real"
    photons: tuple[float, ...] = (1.0, 1.0)
    samples_per_block: int = 10
    rows_per_block: int = 0
    inputs_per_block: int = 0
    policy_changes: dict[str, object] = field(default_factory=dict)
    ledger: WeightLedger | None = None
    budget: float | None = None
    data_ledger: DataLedger | None = None
    input_bits: Callable[[LayerPlan], float] | None = None
    on_progress: Callable[[Progress], None] | None = None
    keep: int = 0
    client_policy: ClientPolicy | None = None

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self.link = SymbolLink(self.link_settings, self.behaviour)
        self.server_optics = SpyServerOptics(self.link, self.calls)
        self.client_optics = SpyClientOptics(self.link, self.calls)
        self.plan: Plan = make_plan(
            self.model,
            self.photons,
            encoding=self.encoding,
            modes_per_frame=self.link_settings.modes_per_frame,
            rows_per_block=self.rows_per_block,
            samples_per_block=self.samples_per_block,
            inputs_per_block=self.inputs_per_block,
        )
        if self.ledger is None:
            self.ledger = self.new_ledger(None, self.budget)
        policy = replace(
            ServerPolicy(receiver=self.link_settings.receiver),
            **self.policy_changes,  # type: ignore[arg-type]
        )
        self.server = ServerParty(
            self.model,
            self.plan,
            self.server_optics,
            policy,
            self.ledger,
            random_bits=SeededBits(self.link_settings.seed or 0),
        )
        self.channel = LocalChannel(self.server.handle)
        self.client = ClientParty(
            self.client_optics,
            self.channel,
            ledger=self.data_ledger,
            input_bits=self.input_bits,
            keep=self.keep,
            on_progress=self.on_progress,
            policy=self.client_policy,
        )

    def new_ledger(self, path: str | None, budget: float | None) -> WeightLedger:
        """A fresh ledger of the bench's model."""
        rows = {index: self.model.graph.optical_layer(index).rows for index in self.optical}
        return WeightLedger.create(path, self.model.digest, rows, budget)

    @property
    def optical(self) -> tuple[int, ...]:
        """Indices of the optical layers."""
        return self.model.graph.optical

    @property
    def spent(self) -> WeightLedger:
        """The server's ledger."""
        assert self.ledger is not None
        return self.ledger
