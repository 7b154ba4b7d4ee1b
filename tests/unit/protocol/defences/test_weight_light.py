"""What a server launches and charges when its weights are disguised."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from drivers.backend import Block
from drivers.errors import ConfigurationError, ProtocolError
from protocol.channel import LocalChannel
from protocol.client import ClientParty
from protocol.defences import (
    Defences,
    DisguisedNetwork,
    OperatingSystemNumbers,
    SeededNumbers,
    WeightLight,
    disguise_network,
)
from protocol.encoding import make_plan
from protocol.ledger import WeightLedger
from protocol.messages import Message, encode_message
from protocol.models.model import Model
from protocol.randomness import SeededBits
from protocol.server import ServerParty, ServerPolicy
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import SpyServerOptics, convolutional, normals, perceptron

ALL = Defences(permute=True, rescale=1.5, dummies=2, photons=2.0)


class Session:
    """Two parties on a simulated link, the server in disguise; keeps light and messages."""

    def __init__(
        self,
        model: Model,
        defences: Defences,
        *,
        samples_per_block: int = 3,
        rows_per_block: int = 0,
        modes_per_frame: int = 4096,
        seed: int = 1,
    ) -> None:
        settings = LinkSettings(seed=seed, device="cpu", modes_per_frame=modes_per_frame)
        self.network: DisguisedNetwork = disguise_network(
            model,
            defences,
            tuple(2.0 for _ in model.graph.optical),
            encoding="real",
            modes_per_frame=modes_per_frame,
            rows_per_block=rows_per_block,
            samples_per_block=samples_per_block,
        )
        link = SymbolLink(settings)
        self.optics = SpyServerOptics(link, [])
        rows = {i: model.graph.optical_layer(i).rows for i in model.graph.optical}
        self.ledger = WeightLedger.create(None, model.digest, rows, None)
        self.server = ServerParty(
            model,
            self.network.plan,
            self.optics,
            ServerPolicy(receiver=settings.receiver),
            self.ledger,
            random_bits=SeededBits(seed),
            disguise=self.network,
        )
        self.messages: list[Message] = []
        self.client = ClientParty(link.client, LocalChannel(self._handle), keep=64)

    def _handle(self, message: Message) -> Message:
        answer = self.server.handle(message)
        self.messages += [message, answer]
        return answer

    def row_photons(self, layer: int, first_sample: int) -> Tensor:
        """Photons per mode of every launched row of the first tile, of one block of samples."""
        entry = self.network.plan.of_layer(layer)
        found = [
            means[0].abs().square().mean(1) / 4
            for block, means in self.optics.sent
            if block.layer == layer
            and block.tile == 0
            and block.first_input == first_sample * entry.positions
        ]
        return torch.cat(found)


@pytest.mark.parametrize("rows_per_block", [0, 5])
def test_ledger_is_charged_the_largest_factor_when_units_are_rescaled(rows_per_block: int) -> None:
    model = perceptron((12, 9, 4))
    session = Session(model, Defences(rescale=2.0), rows_per_block=rows_per_block)
    session.client.infer(normals(7, 12))
    plain = make_plan(model, (2.0, 2.0), encoding="real", modes_per_frame=4096)
    for entry in session.network.plan.layers:
        undisguised = model.matrix(entry.layer).square().mean(1)
        undisguised = undisguised * plain.of_layer(entry.layer).scale_snu ** 2 / 4
        charged = torch.zeros(entry.rows, dtype=torch.float64)
        for first, samples in ((0, 3), (3, 3), (6, 1)):
            factor = (session.row_photons(entry.layer, first) / undisguised).max()
            charged += 2.0 * samples * factor.double()
        spent = session.ledger.verified_photons(entry.layer)
        assert spent == pytest.approx(charged.numpy(), rel=1e-5)


def test_ledger_is_charged_as_without_disguise_when_units_change_places_alone() -> None:
    session = Session(perceptron((12, 9, 4)), Defences(permute=True, dummies=3))
    session.client.infer(normals(7, 12))
    for layer in (0, 2):
        assert session.ledger.verified_photons(layer) == pytest.approx(14.0, rel=1e-9)


def test_light_is_fresh_for_every_block_of_samples_and_the_same_within_one() -> None:
    session = Session(perceptron((12, 9, 4)), ALL, samples_per_block=2, modes_per_frame=5)
    session.client.infer(normals(6, 12))
    for layer in (0, 2):
        sent = [
            (block.first_input, block.tile, means)
            for block, means in session.optics.sent
            if block.layer == layer
        ]
        firsts = [means for first, tile, means in sent if tile == 0]
        assert len(firsts) == 3
        assert not torch.allclose(firsts[0], firsts[1])
        assert not torch.allclose(firsts[1], firsts[2])
    # One disguise for all layers: what the client computes is the network.
    sample = session.client.record.samples
    hidden = sample[0].products
    assert sample[2].vectors[:, :-1] == pytest.approx(hidden.clamp_min(0), abs=1e-6)


@pytest.mark.parametrize("model", [perceptron(), convolutional()], ids=["perceptron", "cnn"])
def test_outputs_are_the_networks_when_the_light_is_bright(model: Model) -> None:
    graph = model.graph
    inputs = normals(20, math.prod(graph.input_shape), seed=4)
    session = Session(model, ALL, samples_per_block=1)
    scaled = (inputs - graph.scaling.offset) * graph.scaling.factor
    wanted = model.forward(scaled.reshape(-1, *graph.input_shape))
    bright = disguise_network(
        model,
        ALL,
        tuple(1e9 for _ in graph.optical),
        encoding="real",
        modes_per_frame=4096,
        samples_per_block=1,
    )
    link = SymbolLink(LinkSettings(seed=2, device="cpu"))
    server = ServerParty(
        model,
        bright.plan,
        link.server,
        ServerPolicy(receiver=link.settings.receiver),
        session.ledger,
        random_bits=SeededBits(2),
        disguise=bright,
    )
    found = ClientParty(link.client, LocalChannel(server.handle)).infer(inputs)
    assert torch.allclose(found, wanted, atol=2e-3 * float(wanted.abs().max()))


def test_messages_do_not_tell_dummies_from_units() -> None:
    texts = []
    for seed in (1, 2):
        session = Session(perceptron((12, 9, 4)), ALL, seed=seed)
        session.client.infer(normals(7, 12))
        name = session.server.record.session.encode()
        hidden = [encode_message(message).replace(name, b"-") for message in session.messages]
        texts.append([text for text in hidden if b"thresholds" not in text])
    # Two draws of everything secret, the same words.
    assert texts[0] == texts[1]


@pytest.mark.parametrize("rows_per_block", [0, 5])
def test_evidence_is_of_the_weights_alone_when_there_are_dummies(rows_per_block: int) -> None:
    defences = Defences(permute=True, dummies=6)
    session = Session(perceptron((12, 9, 4)), defences, rows_per_block=rows_per_block)
    session.client.infer(normals(7, 12))
    evidence = session.server.record.evidence
    # Seven samples, nine units of thirteen entries; four outputs of sixteen entries, six of them
    # the dummies' dark columns.
    assert evidence[0].symbols.sum() == 7 * 9 * 13
    assert evidence[2].symbols.sum() == 7 * 4 * 16
    # Half of the light of the rows that are weights was seen in X: between 20 and 80 % of it, for
    # sure to 1e-9 (a binomial of 63 frames).
    sent = 7 * 9 * 13 * 4 * 2.0
    assert 0.2 < evidence[0].mean_energy_snu[0] / sent < 0.8


def test_samples_out_of_order_are_refused_when_weights_are_disguised() -> None:
    model = perceptron((12, 9, 4))
    network = disguise_network(model, ALL, (1.0, 1.0), encoding="real", modes_per_frame=99)
    light = WeightLight(model, network.plan, network, OperatingSystemNumbers())
    first, second = network.plan.layers
    means = light.means("0", 10, first, 0)
    assert torch.equal(light.means("0", 10, first, 0), means)
    light.means("0", 10, second, 0)
    light.means("0", 20, first, 0)
    with pytest.raises(ProtocolError, match="finished before the next begins"):
        light.means("0", 10, second, 0)


def test_plan_of_other_weights_is_refused() -> None:
    model = perceptron((12, 9, 4))
    network = disguise_network(model, ALL, (1.0, 1.0), encoding="real", modes_per_frame=99)
    other = disguise_network(model, ALL, (2.0, 1.0), encoding="real", modes_per_frame=99)
    with pytest.raises(ConfigurationError, match="by its own plan"):
        WeightLight(model, other.plan, network, SeededNumbers(1))
    with pytest.raises(ProtocolError, match="rows, entries, positions"):
        WeightLight(model, network.plan, None, SeededNumbers(1))


def test_plain_light_is_the_models_when_there_is_no_disguise() -> None:
    model = perceptron((12, 9, 4))
    plan = make_plan(model, (1.0, 1.0), encoding="real", modes_per_frame=99)
    light = WeightLight(model, plan, None, OperatingSystemNumbers())
    entry = plan.layers[0]
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=1, first_row=0, rows=9, modes=entry.modes
    )
    means = light.means("0", block.first_input, entry, block.tile)
    assert np.allclose(means, model.matrix(0) * entry.scale_snu)
    assert not light.fresh
    assert light.photons(entry) == 1.0
    assert light.ledger_rows(entry, 2, 5) == (2, 5)
