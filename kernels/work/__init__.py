"""Work for kernels, one file per family: sizes that matter, inputs, references and costs.

Knows torch and the launches; see `metabonk.kernels.cases`.
"""
