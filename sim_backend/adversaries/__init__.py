"""What dishonest parties do to the light, each as a plug-in on the symbol tier.

`ReturnBehaviour` is what a `SymbolLink` takes: a client's Gaussian channel on every returned mode.
An `Adversary` is wider: it changes the law of the tests' sums, on either party's side, and says
what it gains; `return_behaviour` makes the first of the second where that is possible.
`draw_blocks` draws the sums for many blocks at once.
"""

from sim_backend.adversaries.adversary import (
    Adversary,
    Formulas,
    Gain,
    Scene,
    Statistic,
    return_behaviour,
)
from sim_backend.adversaries.block_statistics import BlockShape, BlockStatistics, draw_blocks
from sim_backend.adversaries.client_conduct import (
    AsksManyTimes,
    LiesInReports,
    RetriesAfterAborts,
    ReturnsAnotherRow,
    ReturnsLate,
    ReturnsNothing,
)
from sim_backend.adversaries.clients import (
    ClonesLight,
    InterceptsAndResends,
    InterceptsOneMode,
    KeepsLight,
    MeasuresOnlyX,
    RaisesGain,
    TapsAndAmplifies,
    UnambiguousDiscrimination,
)
from sim_backend.adversaries.hardware import (
    BlindsDetector,
    DamagesModulator,
    ShiftsCalibration,
    TrojanLight,
)
from sim_backend.adversaries.light import (
    Hit,
    ProbeLight,
    ReturnedLight,
    honest_probe,
    honest_return,
)
from sim_backend.adversaries.many_copies import MergesCopies, RemembersCopies
from sim_backend.adversaries.outsiders import (
    BrightensSource,
    ProjectsPolarisation,
    SaturatesDetector,
    ScalesOscillator,
    ShiftsFrames,
    TapsFibre,
    clipped_moments,
)
from sim_backend.adversaries.return_behaviour import (
    HONEST,
    ReturnBehaviour,
    intercepts_and_resends,
    keeps_fraction,
    measures_only_x,
    returns_nothing,
    taps_and_amplifies,
)
from sim_backend.adversaries.servers import (
    AnalysesCovariance,
    AsksForTheOutcome,
    BrightProbes,
    CountsPhotons,
    EntangledProbes,
    ProbesInP,
    RepeatsRows,
    SqueezedProbes,
    UnevenRows,
)
from sim_backend.adversaries.shot_noise_unit import SideBands

__all__ = [
    "HONEST",
    "Adversary",
    "AnalysesCovariance",
    "AsksForTheOutcome",
    "AsksManyTimes",
    "BlindsDetector",
    "BlockShape",
    "BlockStatistics",
    "BrightProbes",
    "BrightensSource",
    "ClonesLight",
    "CountsPhotons",
    "DamagesModulator",
    "EntangledProbes",
    "Formulas",
    "Gain",
    "Hit",
    "InterceptsAndResends",
    "InterceptsOneMode",
    "KeepsLight",
    "LiesInReports",
    "MeasuresOnlyX",
    "MergesCopies",
    "ProbeLight",
    "ProbesInP",
    "ProjectsPolarisation",
    "RaisesGain",
    "RemembersCopies",
    "RepeatsRows",
    "RetriesAfterAborts",
    "ReturnBehaviour",
    "ReturnedLight",
    "ReturnsAnotherRow",
    "ReturnsLate",
    "ReturnsNothing",
    "SaturatesDetector",
    "ScalesOscillator",
    "Scene",
    "ShiftsCalibration",
    "ShiftsFrames",
    "SideBands",
    "SqueezedProbes",
    "Statistic",
    "TapsAndAmplifies",
    "TapsFibre",
    "TrojanLight",
    "UnambiguousDiscrimination",
    "UnevenRows",
    "clipped_moments",
    "draw_blocks",
    "honest_probe",
    "honest_return",
    "intercepts_and_resends",
    "keeps_fraction",
    "measures_only_x",
    "return_behaviour",
    "returns_nothing",
    "taps_and_amplifies",
]
