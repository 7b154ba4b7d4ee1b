"""How finely a run cuts its batches into blocks: as asked for, or as the ledger's budget needs."""

from dataclasses import replace

from drivers.backend import ServerOpticsInfo
from drivers.errors import BudgetError
from drivers.receivers import Receiver
from protocol.block_sizes import fitting_inputs_per_block
from protocol.budget import charge_for_layer
from protocol.client_policy import announced_samples, batch_kinds
from protocol.defences import DisguisedNetwork
from protocol.honest_channel import server_trust
from protocol.ledger import WeightLedger
from protocol.plan import Plan
from protocol.verification import expected_return
from veilight.run_values import InferenceRequest

__all__ = ["with_fitting_blocks"]


def with_fitting_blocks(
    request: InferenceRequest,
    plan: Plan,
    disguise: DisguisedNetwork | None,
    info: ServerOpticsInfo,
    receiver: Receiver,
    ledger: WeightLedger,
) -> tuple[Plan, DisguisedNetwork | None]:
    """The plan with blocks that fit into the budget, where the request leaves their size open.

    Args:
        request: of the run.
        plan: how its network is sent, in batches that are not cut or as the request asks.
        disguise: that the plan belongs to, or None.
        info: the server's light.
        receiver: the agreed receiver.
        ledger: the server's.

    Raises:
        BudgetError: the session does not fit; the message says what would.
    """
    if ledger.budget_bits_per_weight is None or ledger.unlimited:
        return plan, disguise
    samples = _samples(request, plan)
    law = expected_return(info, receiver, dither_snu=request.dither_snu)
    charges = {
        entry.layer: charge_for_layer(entry, law, server_trust(info), ledger.rule)
        for entry in plan.layers
    }
    try:
        fits = fitting_inputs_per_block(plan, samples, charges, ledger)
    except BudgetError:
        if disguise is None:
            raise
        # A plan is charged the most that a disguise may be, a disguise what it turns out to be.
        fits = 1
    if request.inputs_per_block is None:
        plan = replace(plan, inputs_per_block=fits)
        return plan, None if disguise is None else replace(disguise, plan=plan)
    if fits != plan.inputs_per_block and disguise is None:
        raise BudgetError(
            f"blocks of inputs_per_block = {plan.inputs_per_block} (0: all of a batch) do not fit "
            f"into the ledger's budget of {ledger.budget_bits_per_weight:g} bits per weight: each "
            "is charged in full until its light is back. Nothing was sent. A session of "
            f"{samples:,} samples fits with at most {fits}; leave it out to have it chosen"
        )
    return plan, disguise


def _samples(request: InferenceRequest, plan: Plan) -> int:
    """Samples that the client is going to announce, dummies included."""
    policy = request.client_policy
    batches = -(-len(request.inputs) // plan.samples_per_block)
    kinds = batch_kinds(batches, max(request.audit_share, policy.audit_share), policy)
    return announced_samples(kinds, len(request.inputs), plan.samples_per_block)
