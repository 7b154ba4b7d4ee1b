"""The privacy frontier: the accuracy that a leakage allows, and the leakage that an accuracy costs.

Networks are trained with the noise of the light at many signal-to-noise ratios (`networks`,
`sweep`, `store`). For each, the leakage is worked out (`figures`) and the receiver's setting is
chosen (`optimise`); what no other point beats is the frontier, held against the published point and
the project's own targets (`targets`). The modules are imported one by one: some need torch.
"""
