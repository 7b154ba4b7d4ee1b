"""How many data vectors a block may have for a session to fit into the server's budget.

A block is charged as if all its light was kept until its return has passed the tests, so that a
budget which holds a session of many small blocks may not hold its first large one.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from drivers.errors import BudgetError
from protocol.budget import Charge, last_that_fits
from protocol.ledger import RowLight, WeightLedger, bits_with_block
from protocol.plan import LayerPlan, Plan

__all__ = ["fitting_inputs_per_block", "inputs_within_budget"]


def inputs_within_budget(
    charge: Charge,
    photons_per_input: float,
    inputs: int,
    largest: int,
    budget: float,
    spent: RowLight,
) -> int:
    """Data vectors of the largest block with which all of a session's fit into a budget.

    The session's last block is the dearest: the others are verified by then, and it is charged as
    if it never came back. So is every block while it is out.

    Args:
        charge: of `charge_for_layer`.
        photons_per_input: photons per symbol.
        inputs: of the session.
        largest: data vectors that a block may have.
        budget: bits per weight.
        spent: light that the rows were sent with before, `(rows,)`.

    Returns:
        At most `largest`; 0 if not even blocks of one data vector fit.
    """
    distinct, _ = spent.distinct()

    def fits(block: int) -> bool:
        done = inputs - block
        so_far = distinct.more(charge.channel, verified=done * photons_per_input, copies=done)
        after = bits_with_block(charge, so_far, block * photons_per_input, block)
        return bool(np.all(after <= budget))

    return last_that_fits(fits, largest)


def fitting_inputs_per_block(
    plan: Plan, samples: int, charges: Mapping[int, Charge], ledger: WeightLedger
) -> int:
    """The largest `inputs_per_block` with which a whole session fits into a ledger's budget.

    Larger blocks are tested more sharply and in fewer messages; smaller ones are charged less
    before their light is back, and lose less to whoever keeps it.

    Args:
        plan: of the session; its own `inputs_per_block` is not exceeded.
        samples: of the session, dummies included.
        charges: of `charge_for_layer`, by layer.
        ledger: of the model.

    Returns:
        What the plan says already if that fits, or if nothing limits the ledger.

    Raises:
        BudgetError: the session does not fit, however small its blocks are.
    """
    budget = ledger.budget_bits_per_weight
    if budget is None or ledger.unlimited:
        return plan.inputs_per_block
    for layer in plan.layers:
        fits = _fitting_inputs(plan, layer, samples, charges, ledger, budget)
        if not fits:
            raise _too_many_samples(plan, layer, samples, charges, ledger, budget)
        if fits < plan.largest_inputs(layer, samples):
            plan = replace(plan, inputs_per_block=fits)
    return plan.inputs_per_block


def _fitting_inputs(
    plan: Plan,
    layer: LayerPlan,
    samples: int,
    charges: Mapping[int, Charge],
    ledger: WeightLedger,
    budget: float,
) -> int:
    return inputs_within_budget(
        charges[layer.layer],
        layer.photons_per_symbol,
        samples * layer.positions,
        plan.largest_inputs(layer, samples),
        budget,
        ledger.light(layer.layer),
    )


def _too_many_samples(
    plan: Plan,
    layer: LayerPlan,
    samples: int,
    charges: Mapping[int, Charge],
    ledger: WeightLedger,
    budget: float,
) -> BudgetError:
    """Says how many samples would fit."""
    smallest = replace(plan, inputs_per_block=1)

    def fits(count: int) -> bool:
        return all(
            _fitting_inputs(smallest, one, count, charges, ledger, budget) > 0
            for one in plan.layers
        )

    most = last_that_fits(fits, samples - 1)
    return BudgetError(
        f"layer {layer.layer}: {samples:,} samples at {layer.photons_per_symbol:.4g} photons per "
        f"symbol and {layer.positions:,} positions each do not fit into the ledger's budget of "
        f"{budget:g} bits per weight, with {float(ledger.verified_photons(layer.layer).max()):.6g} "
        f"verified and {float(ledger.unverified_photons(layer.layer).max()):.6g} unverified "
        "photons spent, however small the blocks are"
        + (f"; at most {most:,} samples fit" if most else "; not one sample fits")
        + ". Nothing was sent. Send fewer samples or fewer photons; a larger budget is a new "
        "decision about these weights"
    )
