"""What a network costs: sizes against slow counts, frames against their layout, leakage figures."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import ConfigurationError
from drivers.optics.burst import BurstFormat, BurstLayout, SlotKind
from drivers.receivers import Amplifier, FeedForwardTap
from protocol.leakage import weight_bits_client_keeps_all_gaussian_real
from protocol.models.files import save_model
from protocol.models.optical_layers import OpticalNetwork
from protocol.models.recipes import mlp, small_cnn, transformer
from sim_backend.settings import LinkSettings
from veilight.cli import main
from veilight.cost import LayerCost, NetworkCost, OpticalLoad, cost_of, loads_of
from veilight.cost_known import KNOWN_NETWORKS, known_network
from veilight.frontier.figures import LinkAssumptions, privacy_of
from veilight.frontier.shapes import shapes_of

TAP = LinkSettings(receiver=FeedForwardTap(tap_fraction=0.1), device="cpu")


def known_cost(name: str, *, embedding: bool = True) -> NetworkCost:
    network = known_network(name)
    loads = network.all_loads if embedding else network.loads
    return cost_of(loads, TAP, "real", signal_to_noise=(1.0,) * len(loads))


def test_loads_are_the_optical_layers_when_taken_from_a_graph() -> None:
    loads = loads_of(small_cnn((1, 8, 8), 3, channels=(2, 4), hidden=5, bias=True))
    assert [(x.rows, x.entries, x.positions) for x in loads] == [
        (2, 10, 64), (4, 19, 16), (5, 17, 1), (3, 6, 1),
    ]  # fmt: skip
    tokens = loads_of(transformer((1, 8, 8), 3, patch=(2, 2), width=8, hidden=12))
    assert [x.positions for x in tokens] == [16] * 5 + [1]


def test_cost_counts_every_slot_of_the_bursts_when_blocks_are_framed() -> None:
    load = OpticalLoad(name="a", rows=7, entries=50, positions=3, count=2)
    link = replace(TAP, modes_per_frame=20)
    burst = BurstFormat(pilot_spacing=4, least_vacuum_slots=100, preamble_slots=63)
    found = cost_of([load], link, "real", signal_to_noise=[1.0], burst=burst, samples_per_block=5)
    slots, symbols = 0, 0
    for tile in (17, 17, 16):
        layout = BurstLayout(format=burst, data_symbols=7 * 3 * 5 * tile)
        kinds = layout.kinds
        assert int((kinds == SlotKind.DATA).sum()) == 7 * 3 * 5 * tile
        slots, symbols = slots + len(kinds), symbols + layout.data_symbols
    (layer,) = found.layers
    assert layer.symbols == found.symbols == 2 * symbols // 5 == 2 * 7 * 50 * 3
    assert layer.slots == pytest.approx(2 * slots / 5)
    assert layer.bursts == pytest.approx(2 * 3 / 5)
    assert found.line_s == pytest.approx(layer.slots / 1e9)
    assert found.light_s == pytest.approx(found.symbols / 1e9)
    assert (found.weights, found.rounds, layer.data_values) == (700, 2, 2 * 50 * 3)


def test_cost_takes_more_bursts_when_the_memories_hold_less() -> None:
    load, burst = OpticalLoad(name="a", rows=100, entries=1000), BurstFormat()
    one = cost_of([load], TAP, "real", signal_to_noise=[1.0], burst=burst)
    many = cost_of(
        [load], TAP, "real", signal_to_noise=[1.0], burst=burst, largest_burst_samples=200_000
    )
    assert one.layers[0].bursts == 1
    bursts = many.layers[0].bursts
    # 200,000 samples are 25,000 slots, of which preamble, guards, pilots and vacuum take a part.
    assert 5 <= bursts <= 6
    overhead = burst.preamble_slots + 2 * burst.guard_slots
    assert many.slots - one.slots >= (bursts - 1) * overhead
    with pytest.raises(ConfigurationError, match="hold no burst of this format"):
        cost_of([load], TAP, "real", signal_to_noise=[1.0], largest_burst_samples=1000)


def test_complex_encoding_halves_the_symbols_when_the_receiver_takes_it() -> None:
    link = LinkSettings(receiver=Amplifier(gain=2.0), device="cpu")
    load = OpticalLoad(name="a", rows=3, entries=101)
    both = [
        cost_of([load], link, encoding, signal_to_noise=[1.0]).symbols
        for encoding in ("real", "complex")
    ]
    assert both == [303, 3 * 51]
    with pytest.raises(ConfigurationError, match="does not preserve P"):
        cost_of([load], TAP, "complex", signal_to_noise=[1.0])


@pytest.mark.parametrize("receiver", [FeedForwardTap(tap_fraction=0.1), Amplifier(gain=1.3)])
def test_figures_are_those_of_the_frontier_when_rows_are_not_tiled(
    receiver: FeedForwardTap | Amplifier,
) -> None:
    graph = transformer((1, 8, 8), 3, patch=(2, 2), width=16, hidden=24)
    ratios = (8.0, 2.0, 2.0, 3.0, 2.0, 4.0)
    link = LinkSettings(receiver=receiver, device="cpu")
    found = cost_of(loads_of(graph), link, "real", signal_to_noise=ratios)
    privacy = privacy_of(shapes_of(graph), ratios, receiver, "real", LinkAssumptions())
    assert found.weight_bits == pytest.approx(privacy.weight_bits, rel=1e-6)
    assert found.worst_weight_bits == pytest.approx(privacy.weight_bits_worst_layer, rel=1e-6)
    assert found.worst_data_bits_homodyne == pytest.approx(privacy.data_bits_homodyne, rel=1e-6)
    assert found.worst_data_bits_any == pytest.approx(privacy.data_bits_any, rel=1e-6)
    assert max(layer.kept_weight_bits for layer in found.layers) == pytest.approx(
        privacy.stolen_block_bits_per_weight, rel=1e-6
    )
    assert found.symbols == privacy.symbols_per_query
    assert found.light_s == pytest.approx(privacy.seconds_per_query)
    assert [layer.signal_to_noise for layer in found.layers] == pytest.approx(ratios)


def test_budget_is_that_of_the_layer_that_spends_it_first_when_there_is_one() -> None:
    loads = [
        OpticalLoad(name="a", rows=5, entries=900),
        OpticalLoad(name="b", rows=5, entries=900, positions=4),
    ]
    found = cost_of(loads, TAP, "real", signal_to_noise=(0.1, 0.1), budget_bits_per_weight=2.0)
    once, four = (layer.queries_allowed for layer in found.layers)
    assert once is not None
    assert four is not None
    assert four < once
    assert found.queries_allowed == four
    # An honest client inverts K products per row: K F^2 / N.
    assert found.layers[1].least_squares_snr == pytest.approx(4 * 0.1 / 900)


def test_blocks_of_a_few_inputs_have_bursts_of_their_own_and_lose_less_when_kept() -> None:
    load = OpticalLoad(name="a", rows=4, entries=30, positions=10)

    def found(inputs_per_block: int, samples: int = 3) -> LayerCost:
        return cost_of(
            [load],
            TAP,
            "real",
            signal_to_noise=[1.0],
            samples_per_block=samples,
            inputs_per_block=inputs_per_block,
            budget_bits_per_weight=4.0,
        ).layers[0]

    whole, cut, single = found(0), found(7), found(1)
    burst = BurstFormat()
    slots = {
        inputs: BurstLayout(format=burst, data_symbols=120 * inputs).total_slots
        for inputs in (30, 7, 2, 1)
    }
    # 30 data vectors of three samples: four blocks of 7 and one of 2.
    assert (whole.bursts, cut.bursts, single.bursts) == pytest.approx((1 / 3, 5 / 3, 10))
    assert whole.slots == pytest.approx(slots[30] / 3)
    assert cut.slots == pytest.approx((4 * slots[7] + slots[2]) / 3)
    assert single.slots == pytest.approx(10 * slots[1])
    assert whole.symbols == cut.symbols == single.symbols
    # What is kept is one block, of one query at most.
    photons = whole.photons_per_symbol
    for layer, copies in ((whole, 10), (cut, 7), (single, 1)):
        assert layer.kept_weight_bits == pytest.approx(
            weight_bits_client_keeps_all_gaussian_real(copies * photons)
        )
        assert layer.weight_bits == pytest.approx(whole.weight_bits)
        assert layer.queries_allowed_finest == single.queries_allowed
    allowed = [layer.queries_allowed for layer in (whole, cut, single)]
    assert None not in allowed
    assert allowed == sorted(allowed, key=lambda number: number or 0)
    assert allowed[0] != allowed[2]
    with pytest.raises(ConfigurationError, match="inputs_per_block is -1"):
        found(-1)


def test_queries_count_as_copies_of_the_weights_when_many_are_asked() -> None:
    load = OpticalLoad(name="a", rows=5, entries=900, positions=2)
    once, often, equal = (
        cost_of([replace(load, positions=positions)], TAP, "real", signal_to_noise=[0.1], queries=n)
        for positions, n in ((2, 1), (2, 10), (20, 1))
    )
    assert often.layers[0].weight_bits == equal.layers[0].weight_bits
    assert 5 * once.weight_bits < often.weight_bits < 10 * once.weight_bits
    assert often.layers[0].least_squares_snr == pytest.approx(10 * once.layers[0].least_squares_snr)
    assert often.layers[0].kept_weight_bits == once.layers[0].kept_weight_bits
    assert often.symbols == once.symbols


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signal_to_noise": (1.0, 1.0)}, "2 values of F.2 or photons for 1 layers"),
        ({"signal_to_noise": ()}, "0 values of F.2 or photons for 1 layers"),
        ({"photons_per_symbol": (1.0,)}, "of one kind"),
        ({"samples_per_block": 0}, "samples_per_block is 0"),
        ({"queries": 0}, "queries is 0"),
    ],
)
def test_cost_is_refused_when_the_light_does_not_fit(
    changes: dict[str, object], message: str
) -> None:
    wanted: dict[str, object] = {"signal_to_noise": (1.0,), **changes}
    with pytest.raises(ConfigurationError, match=message):
        cost_of([OpticalLoad(name="a", rows=1, entries=1)], TAP, "real", **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["rows", "entries", "positions", "count"])
def test_load_is_refused_when_a_size_is_below_one(field: str) -> None:
    sizes = {"rows": 1, "entries": 1, "positions": 1, "count": 1, field: 0}
    with pytest.raises(ConfigurationError, match=f"a: {field} is 0"):
        OpticalLoad(name="a", **sizes)


def test_resnet50_has_the_published_size_when_counted() -> None:
    # torchvision's model of the same form: 25,557,032 parameters, of which 2 x 26,560 are factors
    # and shifts of batch normalisation, here one folded bias per row; 4.09e9 products.
    found = known_cost("resnet50")
    assert found.weights == 25_557_032 - 26_560
    assert found.symbols == pytest.approx(4.09e9, rel=0.005)
    assert found.rounds == 54


def test_bert_base_has_the_published_size_when_counted() -> None:
    # 110 M parameters (arXiv 1810.04805); the normalisations' 2 x 768 x 25 are missing here.
    found = known_cost("bert-base")
    assert found.weights == pytest.approx(109.5e6, rel=0.002)
    layers = 12 * (4 * 768 * 769 + 3072 * 769 + 768 * 3073)
    ends = 768 * 769 + 2 * 769
    assert known_cost("bert-base", embedding=False).symbols == 128 * layers + ends


def test_llama_7b_has_the_published_size_when_counted() -> None:
    # 6.7 G parameters (arXiv 2302.13971, table 2); the normalisations' factors are missing here.
    found = known_cost("llama-7b")
    assert found.weights == 6_738_415_616 - 4096 * 65
    assert found.symbols == found.weights


def test_command_tells_the_cost_of_a_model_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = mlp((6,), (5,), 3, bias=True)
    metadata = {"signal_to_noise": {"0": 0.5, "2": 1.0}}
    save_model(OpticalNetwork(graph).to_model(metadata), tmp_path / "m.safetensors")
    options = ["--receiver", "amplifier", "--setting", "1.5", "--symbol-rate", "2e9", "--json"]
    assert main(["cost", str(tmp_path / "m.safetensors"), *options, "--budget", "2"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["symbols_per_query"] == 5 * 7 + 3 * 6
    assert values["light_time_per_query_s"] == pytest.approx(53 / 2e9)
    assert [layer["signal_to_noise"] for layer in values["layers"]] == pytest.approx([0.5, 1.0])
    assert values["queries_within_budget"] >= 1
    assert values["line_time_per_query_s"] > values["light_time_per_query_s"]
    together = ["--samples-per-block", "100"]
    assert main(["cost", str(tmp_path / "m.safetensors"), *options, *together]) == 0
    shared = json.loads(capsys.readouterr().out)
    assert shared["slots_per_query"] < values["slots_per_query"] / 10
    assert shared["queries_within_budget"] is None


def test_command_shows_a_known_network_with_what_is_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cost", "--known", "resnet50", "--signal-to-noise", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "4,100,299,240 symbols for 25,530,472 weights" in text
    assert "stage 3 3x3 (x 6)" in text
    assert "has not been measured: the light is an assumption" in text


def test_command_takes_the_frames_of_a_bench_file(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Path(__file__).parents[3] / "examples" / "benches" / "amplifier-server.toml"
    slots = []
    for options in ([], ["--frames", str(bench)]):
        light = ["--signal-to-noise", "1", "--json"]
        assert main(["cost", "--known", "resnet50", *light, *options]) == 0
        slots.append(json.loads(capsys.readouterr().out)["slots_per_query"])
    # Every fourth slot is a pilot there, every sixth usually; the rest is alike.
    assert slots[1] / slots[0] == pytest.approx((4 / 3) / (6 / 5), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which network? Give a model file, or --known"),
        (["m.safetensors", "--known", "resnet50"], "which network?"),
        (["--known", "gpt"], "--known 'gpt' is unknown; known are resnet50, bert-base, llama-7b"),
        (["--known", "resnet50"], "how much light?"),
        (["--known", "resnet50", "--signal-to-noise", "1,2"], "one number for all layers"),
        (["m.safetensors"], "no such file"),
    ],
)
def test_command_says_in_one_line_what_is_missing(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *arguments]) != 0
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_known_networks_are_found_by_their_names() -> None:
    assert all(known_network(name).name == name for name in KNOWN_NETWORKS)
    assert all(math.isfinite(x.weights) for n in KNOWN_NETWORKS.values() for x in n.all_loads)
