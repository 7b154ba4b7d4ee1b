"""Every message of whole sessions, opened: no weight, datum, outcome or label crosses.

The parties' objects are searched as well: the client reaches no weight, the server no datum.
"""

import gc
import json
import math
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from drivers.errors import VerificationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.dummies import dummy_vectors
from protocol.ledger import DataLedger
from protocol.messages import decode_message
from protocol.models.model import Model, unfold
from sim_backend.adversaries import HONEST, ReturnBehaviour, keeps_fraction
from sim_backend.settings import LinkSettings
from tests.unit.protocol.session_bench import Bench, convolutional, normals, perceptron

NETWORKS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "perceptron": (perceptron(), (12,)),
    "convolutional": (convolutional(), (2, 8, 7)),
}
SAMPLES = 7

FROM_CLIENT = {
    "hello": {"kind", "version", "receiver", "receiver_setting", "modes_per_frame"},
    "query": {"kind", "session", "samples"},
    "finish": {"kind", "session", "samples"},
}
FROM_SERVER = {
    "offer": {
        *("kind", "version", "session", "graph", "plan"),
        *("audit_share", "probes", "x_share", "dither_snu"),
    },
    "query-granted": {"kind", "session", "run", "blocks", "thresholds"},
    "farewell": {"kind", "session", "blocks"},
}
BLOCK = {
    *("kind", "session", "run", "layer", "tile", "first_input", "inputs", "first_row", "rows"),
    "modes",
}
FROM_CLIENT |= {"block-ready": BLOCK, "block-measured": BLOCK}
FROM_SERVER |= {"block-sent": BLOCK, "block-verdict": BLOCK | {"accepted", "reason"}}
BATCH = {"kind", "session", "first_sample"}
FROM_CLIENT |= {
    "audit-commitment": BATCH | {"commitment"},
    "audit-due": BATCH,
    "audit-opening": BATCH | {"batch", "seed", "nonce"},
}
FROM_SERVER |= {
    "audit-noted": BATCH,
    "audit-command": BATCH | {"opened"},
    "audit-verdict": BATCH | {"accepted", "reason"},
}
FLOATS_ALLOWED = {
    "audit_share",
    "x_share",
    "dither_snu",
    "receiver_setting",
    "photons_per_symbol",
    "scale_snu",
    "offset",
    "factor",
}


def run(
    model: Model,
    data: Tensor,
    *,
    behaviour: ReturnBehaviour = HONEST,
    receiver: Receiver | None = None,
    modes_per_frame: int = 1000,
    seed: int = 1,
    x_share: float = 0.5,
) -> tuple[Bench, Tensor | None]:
    """A session; outputs are None where the server refused."""
    bench = Bench(
        model=model,
        link_settings=LinkSettings(
            receiver=receiver or Amplifier(gain=2.0),
            modes_per_frame=modes_per_frame,
            seed=seed,
            device="cpu",
        ),
        behaviour=behaviour,
        policy_changes={"x_share": x_share},
        photons=(3.7, 5.3),
        samples_per_block=3,
        rows_per_block=2,
        data_ledger=DataLedger.create(None, None),
        input_bits=lambda layer: 0.25,
        keep=2,
    )
    try:
        return bench, bench.client.infer(data)
    except VerificationError:
        return bench, None


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """All values in nested objects and lists, by the name of the nearest field."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, key)
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry, name)
    else:
        yield name, value


def secrets_of(bench: Bench, data: Tensor, outputs: Tensor | None) -> set[float]:
    """Every number that must not cross: as given, scaled and in shot-noise units."""
    model = bench.model
    tensors: list[Tensor] = [data, *bench.client_optics.outcomes, *bench.client_optics.loaded]
    tensors += [means for _, means in bench.server_optics.sent]
    tensors += [weights.matrix() for weights in model.weights.values()]
    scaled = (data - model.graph.scaling.offset) * model.graph.scaling.factor
    tensors += [scaled, model.forward(scaled)]
    for sample in bench.client.record.samples.values():
        tensors += [sample.vectors, sample.products]
    if outputs is not None:
        tensors.append(outputs)
    values = {float(v) for tensor in tensors for v in tensor.double().flatten()}
    # Zeros and ones are padding, biases' data and dead activations, and whole numbers by chance.
    return {v for v in values if v not in (0.0, 1.0)}


CASES = [
    (name, behaviour, receiver, modes)
    for name in NETWORKS
    for behaviour, receiver, modes in (
        (HONEST, Amplifier(gain=2.0), 1000),
        (HONEST, FeedForwardTap(tap_fraction=0.3), 5),
        (HONEST, PassiveTap(tap_fraction=1.0), 1000),
        (keeps_fraction(0.9), Amplifier(gain=2.0), 1000),
    )
]


@pytest.mark.parametrize(("name", "behaviour", "receiver", "modes"), CASES)
def test_messages_hold_allowed_fields_and_no_secret_when_opened(
    name: str, behaviour: ReturnBehaviour, receiver: Receiver, modes: int
) -> None:
    model, shape = NETWORKS[name]
    data = normals(SAMPLES, *shape, seed=3)
    # A half is what a data vector of zeros is loaded as in four modes.
    bench, outputs = run(
        model,
        data,
        behaviour=behaviour,
        receiver=receiver,
        modes_per_frame=modes,
        x_share=0.53,
    )
    assert (outputs is None) == (behaviour is not HONEST)
    transcript = [json.loads(text) for text in bench.channel.transcript]
    assert len(transcript) > 6
    secrets, floats = secrets_of(bench, data, outputs), []
    for number, message in enumerate(transcript):
        allowed = FROM_SERVER if number % 2 else FROM_CLIENT
        assert set(message) == allowed[message["kind"]]
        decode_message(bench.channel.transcript[number])
        for field, value in leaves(message):
            assert isinstance(value, bool | int | str | float), field
            if isinstance(value, float):
                assert field in FLOATS_ALLOWED
                floats.append(field)
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert float(value) not in secrets
            if isinstance(value, str):
                check_text(field, value)
    layers = len(model.graph.optical)
    assert sorted(floats) == sorted(
        ["audit_share", "x_share", "dither_snu", "receiver_setting", "offset", "factor"]
        + ["photons_per_symbol", "scale_snu"] * layers
    )


def test_audits_open_dummies_alone_when_they_are_mixed_with_data() -> None:
    """An opening of data has no seed; what a seed makes was loaded."""
    bench = Bench(
        model=perceptron(),
        samples_per_block=4,
        policy_changes={"audit_share": 0.3},
    )
    data = normals(SAMPLES, 12, seed=3)
    outputs = bench.client.infer(data)
    secrets, kinds = secrets_of(bench, data, outputs), []
    for number, text in enumerate(bench.channel.transcript):
        message = json.loads(text)
        assert set(message) == (FROM_SERVER if number % 2 else FROM_CLIENT)[message["kind"]]
        for field, value in leaves(message):
            if isinstance(value, float):
                assert field in FLOATS_ALLOWED
                assert value not in secrets
            elif isinstance(value, str) and field != "seed":
                check_text(field, value)
        if message["kind"] == "audit-opening":
            kinds.append(message["batch"])
            assert bool(message["seed"]) == (message["batch"] == "dummies")
            if message["seed"]:
                signs = dummy_vectors(message["seed"], bench.plan.layers[0], 4) / 13**0.5
                assert any(
                    torch.allclose(loaded, signs)
                    for loaded in bench.client_optics.loaded
                    if loaded.shape == signs.shape
                )
    assert sorted(kinds) == ["data", "data", "dummies"]


def check_text(field: str, value: str) -> None:
    """Texts are names; a server's reason names tests and no number."""
    if field == "reason":
        names = {"gain", "X variance", "P variance", "row sums"}
        assert not value or set(value.split(", ")) <= names
    elif field == "session":
        assert len(bytes.fromhex(value)) == 16
    elif field in ("thresholds", "commitment"):
        assert len(bytes.fromhex(value)) == 32
    elif field == "nonce":
        assert len(bytes.fromhex(value)) == 16
    elif field == "batch":
        assert value in ("data", "dummies", "probe")
    else:
        assert field in ("kind", "receiver", "encoding")


@pytest.mark.parametrize("name", NETWORKS)
def test_scale_tells_the_root_mean_square_of_a_layer_and_nothing_else(name: str) -> None:
    model, shape = NETWORKS[name]
    bench, _ = run(model, normals(1, *shape))
    offer = json.loads(bench.channel.transcript[1])
    for layer in offer["plan"]["layers"]:
        power = model.matrix(layer["layer"]).double().square().mean().item()
        wanted = math.sqrt(4 * layer["photons_per_symbol"] / power)
        assert layer["scale_snu"] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("behaviour", [HONEST, keeps_fraction(0.9)])
@pytest.mark.parametrize("name", NETWORKS)
def test_transcripts_agree_when_the_data_differ(name: str, behaviour: ReturnBehaviour) -> None:
    """Neither side says anything that depends on the data, but for the session's random name."""
    model, shape = NETWORKS[name]
    seen = []
    for data in (normals(SAMPLES, *shape, seed=3), torch.zeros(SAMPLES, *shape)):
        bench, _ = run(model, data, behaviour=behaviour)
        session = bench.server.record.session.encode()
        seen.append([text.replace(session, b"S") for text in bench.channel.transcript])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("behaviour", [HONEST, keeps_fraction(0.9)])
@pytest.mark.parametrize("name", NETWORKS)
def test_transcripts_agree_up_to_the_scale_when_the_weights_differ(
    name: str, behaviour: ReturnBehaviour
) -> None:
    shape = NETWORKS[name][1]
    build = perceptron if name == "perceptron" else convolutional
    data, seen = normals(SAMPLES, *shape, seed=3), []
    for seed in (0, 7):
        bench, _ = run(build(seed=seed), data, behaviour=behaviour)
        texts = []
        for text in bench.channel.transcript:
            message = json.loads(text)
            if message["kind"] == "offer":
                scales = [layer.pop("scale_snu") for layer in message["plan"]["layers"]]
                assert len(set(scales)) == len(scales)
            if "session" in message:
                message["session"] = "S"
            texts.append(message)
        seen.append(texts)
    assert seen[0] == seen[1]


def reachable(root: object, stop: Iterable[object]) -> Iterator[object]:
    """All objects that can be reached from `root` by any reference, `stop` left out.

    Modules and classes lead everywhere in a process and hold no state of a session.
    """
    seen = {id(entry) for entry in stop}
    queue = [root]
    while queue:
        entry = queue.pop()
        if id(entry) in seen or isinstance(entry, types.ModuleType | type):
            continue
        seen.add(id(entry))
        yield entry
        if isinstance(entry, types.FunctionType):
            # The globals of a function are its module; what it closes over counts.
            queue.extend(cell.cell_contents for cell in entry.__closure__ or ())
            queue.extend(entry.__defaults__ or ())
            continue
        queue.extend(gc.get_referents(entry))
        queue.extend(vars(entry).values() if hasattr(entry, "__dict__") else ())


def holds(entry: object, secret: Tensor) -> bool:
    """True if a tensor or array is, contains or shares memory with `secret`, scaled or not."""
    if isinstance(entry, np.ndarray) and entry.dtype.kind in "fc" and entry.size:
        entry = torch.from_numpy(np.ascontiguousarray(entry))
    if not isinstance(entry, Tensor) or not entry.numel() or entry.dtype == torch.bool:
        return False
    if entry.data_ptr() == secret.data_ptr():
        return True
    values = entry.double().flatten() if not entry.is_complex() else entry.abs().double().flatten()
    probe = secret.double().flatten()
    # Padding, dead activations and the datum of a bias are no secret.
    probe = probe[(probe != 0) & (probe != 1)][:64]
    if len(probe) < 4:
        return False  # nothing but the shared memory above could tell
    if len(values) < 2:
        return False
    matches: Tensor = torch.isclose(values[:, None], probe[None], rtol=1e-6, atol=0.0)
    # A handful of equal numbers by chance is nothing; the beginning of a secret is not chance.
    return int(matches.any(0).sum()) > min(4, len(probe) // 2)


def party_state(party: object, cut: Iterable[object]) -> list[Tensor | np.ndarray[Any, Any]]:
    return [
        entry
        for entry in reachable(party, cut)
        if isinstance(entry, Tensor | np.ndarray) and not isinstance(entry, torch.nn.Parameter)
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_parties_reach_no_secret_of_the_other_when_their_objects_are_searched(name: str) -> None:
    """Cut are only the simulated fibre (both ends in one process) and the channel's far end."""
    model, shape = NETWORKS[name]
    data = normals(SAMPLES, *shape, seed=3)
    bench, outputs = run(model, data)
    assert outputs is not None
    graph = model.graph
    scaled = (data - graph.scaling.offset) * graph.scaling.factor
    vectors = unfold(graph.optical_layer(0), scaled).flatten(0, 1)
    weights: dict[str, Tensor] = {}
    for index, entry in model.weights.items():
        matrix = entry.matrix()
        scale = bench.plan.of_layer(index).scale_snu
        weights |= {f"weights {index}": matrix, f"means {index}": matrix * scale}
    private: dict[str, Tensor] = {"data": data, "scaled": scaled, "outputs": outputs}
    private |= {"vectors": vectors, "first loaded": bench.client_optics.loaded[0]}
    private |= {f"outcomes {i}": o for i, o in enumerate(bench.client_optics.outcomes)}
    cut = [bench.link, bench.server_optics, bench.client_optics, bench.channel]
    client = party_state(bench.client, cut)
    server = party_state(bench.server, cut)
    # The search itself finds each party's own secrets, else it would prove nothing.
    assert any(holds(entry, weights["means 0"]) for entry in server)
    assert any(holds(entry, vectors) for entry in client)
    for what, secret in weights.items():
        assert not any(holds(entry, secret) for entry in client), f"client holds {what}"
    for what, secret in private.items():
        assert not any(holds(entry, secret) for entry in server), f"server holds {what}"
