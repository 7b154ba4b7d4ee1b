"""Sizes of well-known larger networks, for an estimate of what they would cost over light.

Only their linear maps count; all weights are taken to be secret, so that looking up a token's
embedding is a product with a one-hot vector. What F^2 such networks need has not been measured.
"""

from dataclasses import dataclass

from drivers.errors import ConfigurationError
from veilight.cost import OpticalLoad

__all__ = ["KNOWN_NETWORKS", "KnownNetwork", "known_network"]


@dataclass(frozen=True, kw_only=True)
class KnownNetwork:
    """A network from the literature.

    Attributes:
        name: on the command line.
        title: for tables.
        source: where its sizes are from.
        query: what one query is.
        loads: its optical layers, without the embedding of tokens.
        embedding: that of tokens, where there is one.
        note: what a reader should know.
    """

    name: str
    title: str
    source: str
    query: str
    loads: tuple[OpticalLoad, ...]
    embedding: tuple[OpticalLoad, ...] = ()
    note: str = ""

    @property
    def all_loads(self) -> tuple[OpticalLoad, ...]:
        """The embedding first."""
        return (*self.embedding, *self.loads)


def known_network(name: str) -> KnownNetwork:
    """The network of a name.

    Raises:
        ConfigurationError: it is not known.
    """
    if name not in KNOWN_NETWORKS:
        known = ", ".join(KNOWN_NETWORKS)
        raise ConfigurationError(f"--known {name!r} is unknown; known are {known}")
    return KNOWN_NETWORKS[name]


def _resnet50() -> KnownNetwork:
    """Bottlenecks 1x1, 3x3, 1x1 in four stages; the stride is in the 3x3 (version 1.5)."""
    loads = [OpticalLoad(name="stem 7x7", rows=64, entries=3 * 49 + 1, positions=112**2)]
    entering, side = 64, 56
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        first = side if stage == 1 else 2 * side
        name = f"stage {stage}"
        loads += [
            _conv(f"{name} first 1x1", width, entering, 1, first),
            _conv(f"{name} 3x3", width, width, 3, side, count=blocks),
            _conv(f"{name} out 1x1", 4 * width, width, 1, side, count=blocks),
            _conv(f"{name} shortcut", 4 * width, entering, 1, side),
            _conv(f"{name} in 1x1", width, 4 * width, 1, side, count=blocks - 1),
        ]
        entering, side = 4 * width, side // 2
    loads.append(OpticalLoad(name="classifier", rows=1000, entries=2049))
    return KnownNetwork(
        name="resnet50",
        title="ResNet-50",
        source="He et al., arXiv 1512.03385, table 1; stride in the 3x3 convolutions",
        query="image of 224 x 224",
        loads=tuple(loads),
        note="batch normalisation is folded into biases",
    )


def _conv(
    name: str, rows: int, channels: int, kernel: int, side: int, *, count: int = 1
) -> OpticalLoad:
    return OpticalLoad(
        name=name, rows=rows, entries=channels * kernel**2 + 1, positions=side**2, count=count
    )


def _bert_base(tokens: int = 128) -> KnownNetwork:
    width, layers = 768, 12

    def per_token(name: str, rows: int, inputs: int) -> OpticalLoad:
        return OpticalLoad(name=name, rows=rows, entries=inputs + 1, positions=tokens, count=layers)

    return KnownNetwork(
        name="bert-base",
        title="BERT-base",
        source="Devlin et al., arXiv 1810.04805, section 3",
        query=f"text of {tokens} tokens",
        embedding=(
            OpticalLoad(
                name="embedding (one-hot)", rows=width, entries=30522 + 512 + 2, positions=tokens
            ),
        ),
        loads=(
            per_token("query, key, value", 3 * width, width),
            per_token("attention output", width, width),
            per_token("perceptron up", 4 * width, width),
            per_token("perceptron down", width, 4 * width),
            OpticalLoad(name="pooler", rows=width, entries=width + 1),
            OpticalLoad(name="classifier", rows=2, entries=width + 1),
        ),
        note=(
            "normalises after its sums: its factors and shifts would have to be retrained away or "
            "given to the client; the embedding counts words, positions and segments"
        ),
    )


def _llama_7b() -> KnownNetwork:
    width, hidden, layers, words = 4096, 11008, 32, 32000

    def block(name: str, rows: int, entries: int) -> OpticalLoad:
        return OpticalLoad(name=name, rows=rows, entries=entries, count=layers)

    return KnownNetwork(
        name="llama-7b",
        title="7B language model",
        source="Touvron et al., arXiv 2302.13971, table 2; perceptron width 11008",
        query="token",
        embedding=(OpticalLoad(name="embedding (one-hot)", rows=width, entries=words),),
        loads=(
            block("query, key, value", 3 * width, width),
            block("attention output", width, width),
            block("gate and up", 2 * hidden, width),
            block("down", width, hidden),
            OpticalLoad(name="words", rows=words, entries=width),
        ),
        note="the client keeps keys and values of earlier tokens; every token sends all weights",
    )


KNOWN_NETWORKS = {network.name: network for network in (_resnet50(), _bert_base(), _llama_7b())}
"""By name."""
