"""Kernels of networks on the processor."""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def dense_kernels() -> str:
    """Name of the loops in use, avx2 or avx512; empty where there are none."""

class DenseEngine:
    """
    tanh of linear layers on threads of its own. Arguments are addresses of contiguous float32 that the caller has checked.
    """

    def __init__(self, threads: int) -> None: ...

    def forward(self, rows: int, outputs: int, bias: int, inputs: Sequence[tuple[int, int, int]], y: int) -> None:
        """inputs: (x, weight, width) each."""

    def backward(self, rows: int, outputs: int, y: int, dy: int, inputs: Sequence[tuple[int, int, int]], d_bias: int, gradients: Sequence[tuple[int, int]]) -> None:
        """gradients: (d_x or 0, d_weight) each."""

def spread_radar(batch: int, things: int, features: int, rows: int, mask: int, rings: Sequence[float], reach: float, out: int) -> None:
    """
    Sums over sectors and rings; addresses of contiguous float32, of uint8 for the mask.
    """

def adam_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

def adam_clip(values: int, count: int, longest: float) -> float:
    """Scales to a length if they are longer; returns their length before."""

def adam_step(gradient: int, mean: int, square: int, weights: int, count: int, rate: float, beta1: float, beta2: float, epsilon: float, step: int) -> None:
    """One step, the `step`th; see csrc/nn/adam.h."""

def cfc_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

class CfcEngine:
    """
    CfC over sequences on threads of its own. Arguments are addresses of contiguous float32 that the caller has checked. shape: inputs, hidden, backbone. weights: in, in_bias, heads, heads_bias. sequence: x, h, dt or 0, keep or 0.
    """

    def __init__(self, threads: int) -> None: ...

    def forward(self, shape: Sequence[int], steps: int, batch: int, weights: Sequence[int], sequence: Sequence[int], outputs: Sequence[int]) -> None:
        """outputs: out, then z and heads for the gradient or 0 and 0."""

    def backward(self, shape: Sequence[int], steps: int, batch: int, weights: Sequence[int], sequence: Sequence[int], saved: Sequence[int], d_out: int, d_sequence: Sequence[int], d_weights: Sequence[int]) -> None:
        """
        saved: what forward wrote. d_sequence: of x or 0, h, dt or 0, keep or 0.
        """

class CfcPlan:
    """CfC steps bound to memory. Addresses as for CfcEngine."""

    def __init__(self, shape: Sequence[int], steps: int, batch: int, weights: Sequence[int], sequence: Sequence[int], out: int, held: object, half: bool, threads: int) -> None:
        """
        held: what owns the memory of sequence and out; lives as long as this. half: keeps the weights in bf16. threads: at most so many, for large batches only.
        """

    def step(self) -> None:
        """out = the states after every step; allocates nothing."""

    def load(self, weights: Sequence[int]) -> None:
        """Packs weights of the same shape."""

    @property
    def tier(self) -> str:
        """Name of the loops it runs."""

    @property
    def threads(self) -> int:
        """How many threads a step takes."""

def peak_multiply_add(macs: int) -> int:
    """
    Does at least so many multiply-adds of float32 in registers on one core; how many.
    """

def peak_read(address: int, count: int) -> float:
    """Reads so many float32 once; their sum."""

def peak_byte_products(products: int) -> int:
    """
    Adds up at least so many products of bytes (VNNI) on one core; how many, 0 without VNNI.
    """

def peak_bf16_products(products: int) -> int:
    """The same of bf16; 0 without AVX512_BF16."""

def vq_kernels() -> str:
    """
    Name of the loops in use: portable, avx2, avx512, or bf16 or amx (which screen for avx512).
    """

class VqEngine:
    """
    Nearest codes on threads of its own. Arguments are addresses of contiguous float32 and int64 that the caller has checked.
    """

    def __init__(self, threads: int) -> None: ...

    def lookup(self, x: int, rows: int, codes: int, count: int, width: int, dot: bool, index: int, quantized: int) -> None:
        """
        quantized: 0 where nobody asks. Raises ValueError for numbers that are not finite; nothing is written then.
        """

    def accumulate(self, x: int, index: int, rows: int, count: int, width: int, counts: int, sums: int) -> None:
        """
        Raises ValueError for an index that is no code's; nothing is written then.
        """

class VqPlan:
    """A lookup bound to its memory."""

    def __init__(self, engine: VqEngine, x: int, rows: int, codes: int, count: int, width: int, dot: bool, index: int, quantized: int, held: object) -> None:
        """held: whose memory it is, kept as long as the plan."""

    def repack(self) -> None:
        """Reads the codes again."""

    def step(self) -> None:
        """Looks all rows up."""

def returns_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

class Gae:
    """Generalised advantages of one batch, by address; 0 for none."""

    def __init__(self, steps: int, columns: int, reward: int, value: int, terminated: int, truncated: int, is_reset: int, discount: int, gamma: float, gae_lambda: float) -> None: ...

    def run(self, out: int) -> None: ...

    def gradient(self, d_out: int, d_reward: int, d_value: int) -> None: ...

class LambdaReturns:
    """Lambda-returns of one batch, by address."""

    def __init__(self, steps: int, columns: int, reward: int, value: int, discount: int, lambda_: float) -> None: ...

    def run(self, out: int) -> None: ...

    def gradient(self, out: int, d_out: int, d_reward: int, d_value: int, d_discount: int) -> None: ...

class GaePlan:
    """Advantages bound to where they go."""

    def __init__(self, gae: Gae, out: int, held: object) -> None:
        """held: whose memory it is, kept as long as the plan."""

    def step(self) -> None: ...

class LambdaReturnsPlan:
    """Returns bound to where they go."""

    def __init__(self, returns: LambdaReturns, out: int, held: object) -> None:
        """held: whose memory it is, kept as long as the plan."""

    def step(self) -> None: ...

SURROGATE_OUTPUTS: int = 256

def surrogate_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

def surrogate(rows: int, columns: int, sizes: Sequence[int], inputs: Sequence[int], terms: Sequence[float], outputs: Sequence[int]) -> None:
    """
    Gradients and statistics of one batch; inputs and outputs by address, 0 for none, in the order of csrc/nn/surrogate.h. Raises IndexError for a choice out of range.
    """

def merge_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

class WeightedPlan:
    """A weighted sum bound to its memory."""

    def __init__(self, models: Sequence[int], weights: Sequence[float], size: int, out: int, held: object) -> None:
        """held: whose memory it is, kept as long as the plan."""

    def step(self) -> None:
        """Allocates nothing."""

class TiesPlan:
    """A TIES merge bound to its memory."""

    def __init__(self, base: int, models: Sequence[int], weights: Sequence[float], keep: int, scale: float, size: int, out: int, held: object) -> None:
        """held: whose memory it is, kept as long as the plan."""

    def step(self) -> None:
        """
        Allocates nothing. Raises ValueError where a model less base is not finite; nothing is written then.
        """

def encode_numbers(format: int, numbers: int, count: int, codes: int) -> None:
    """format: 0 bf16, 1 e4m3, 2 e2m1, 3 e8m0 rounded down, 4 rounded up."""

def decode_numbers(format: int, codes: int, count: int, numbers: int) -> None: ...

def weight_bytes(format: int, outputs: int, inputs: int) -> tuple[int, int, int]:
    """
    (codes of one output, scales of one output, panels of all). format: 0 int8, 1 int4, 2 bf16, 3 fp8, 4 nvfp4, 5 mxfp8.
    """

def quantize_weights(format: int, outputs: int, inputs: int, weight: int, codes: int, scales: int, tensor_scale: int) -> None: ...

def dequantize_weights(format: int, outputs: int, inputs: int, codes: int, scales: int, tensor_scale: int, weight: int) -> None: ...

def pack_panels(format: int, outputs: int, inputs: int, codes: int, scales: int, tensor_scale: int, panels: int) -> None: ...

def unpack_panels(format: int, outputs: int, inputs: int, panels: int, codes: int, scales: int, tensor_scale: int) -> None: ...

def qlinear_kernels(format: int, rows: int) -> str:
    """
    Name of the loops in use for so many rows: portable, avx2, avx512, vnni, bf16 or amx.
    """

class QLinearEngine:
    """
    Linear layers over packed weights on threads of its own. Arguments are addresses that the caller has checked: panels as pack_panels writes them, bias float32 or 0.
    """

    def __init__(self, threads: int) -> None: ...

    def forward(self, format: int, outputs: int, inputs: int, panels: int, bias: int, rows: int, x: int, y: int) -> None: ...

class QLinearPlan:
    """
    One product bound to memory. Addresses as for QLinearEngine; held: what owns the memory, lives as long as this.
    """

    def __init__(self, format: int, outputs: int, inputs: int, panels: int, bias: int, rows: int, x: int, y: int, held: object, threads: int) -> None:
        """threads: at most so many, for large products only."""

    def step(self) -> None:
        """y = what x holds now times the weights; allocates nothing."""

    def load(self, panels: int, bias: int, held: object) -> None:
        """Other weights of the same shape."""

    @property
    def tier(self) -> str:
        """Name of the loops it runs."""

    @property
    def threads(self) -> int:
        """How many threads a step takes."""

def rssm_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

class RssmEngine:
    """
    RSSM over sequences on threads of its own. Arguments are addresses of contiguous float32 that the caller has checked. shape: action, embed or 0, hidden, deter, groups, classes or 0. mixes: share of the uniform distribution, least deviation. weights: in the order of RssmWeights. sequence: deter, stoch or 0, its indices (int32) or 0, action, embed or 0, keep or 0, noise.
    """

    def __init__(self, threads: int) -> None: ...

    def forward(self, shape: Sequence[int], mixes: Sequence[float], steps: int, batch: int, weights: Sequence[int], sequence: Sequence[int], outputs: Sequence[int]) -> None:
        """
        outputs: deter, stoch, prior, posterior or 0, indices (int32) or 0; for the gradient x, gates, prior_hidden, posterior_hidden, or 0 for all. Raises ValueError for an index that is no class; nothing is written then.
        """

    def backward(self, shape: Sequence[int], mixes: Sequence[float], steps: int, batch: int, weights: Sequence[int], sequence: Sequence[int], saved: Sequence[int], given: Sequence[int], d_inputs: Sequence[int], d_weights: Sequence[int]) -> None:
        """
        saved: what forward wrote. given: of deter, stoch, prior, posterior, each or 0. d_inputs: of deter, stoch or 0, action or 0, embed or 0.
        """

class RssmImagination:
    """
    Steps of prior and actor on threads of its own. Addresses as for RssmEngine.
    """

    def __init__(self, threads: int) -> None: ...

    def run(self, shape: Sequence[int], mixes: Sequence[float], steps: int, batch: int, weights: Sequence[int], actor: Sequence[tuple[int, int, int]], squashed: bool, floor: float, starts: Sequence[int], outputs: Sequence[int]) -> None:
        """
        actor: (weight, bias, units) of each layer. starts: deter, stoch or 0, its indices (int32) or 0, noise, action_noise. outputs: deter, stoch, prior, indices (int32) or 0, action, log_prob, policy; for the gradient x, gates, prior_hidden, units (0 for an actor of one layer), or 0 for all. Raises ValueError for an index that is no class; nothing is written then.
        """

    def backward(self, shape: Sequence[int], mixes: Sequence[float], steps: int, batch: int, weights: Sequence[int], actor: Sequence[tuple[int, int, int]], squashed: bool, floor: float, starts: Sequence[int], saved: Sequence[int], given: Sequence[int], d_inputs: Sequence[int], d_weights: Sequence[int], d_actor: Sequence[tuple[int, int]]) -> None:
        """
        saved: what run wrote. given: of deter, stoch, prior, action, log_prob, policy, each or 0. d_inputs: of deter, stoch or 0. d_weights: the prior's ten. d_actor: (weight, bias) of each layer.
        """

class RssmPlan:
    """RSSM steps bound to memory. Addresses as for RssmEngine."""

    def __init__(self, shape: Sequence[int], mixes: Sequence[float], steps: int, batch: int, weights: Sequence[int], sequence: Sequence[int], outputs: Sequence[int], held: object, precision: int) -> None:
        """
        outputs: deter, stoch, indices or 0, prior or 0, posterior or 0. precision: how the weights are kept, 0 float32, 1 bf16, 2 int8. held: what owns the memory; lives as long as this. Raises ValueError for weights that int8 has no codes for.
        """

    def step(self) -> None:
        """
        The next states; allocates nothing. Raises ValueError for an index that is no class; nothing is written then.
        """

    def load(self, weights: Sequence[int]) -> None:
        """
        Packs weights of the same shape. Raises ValueError for those that int8 has no codes for; steps then go on with the ones from before.
        """

    @property
    def tier(self) -> str:
        """Name of the loops it runs."""

class RssmDreamPlan:
    """Dreams bound to memory. Arguments as for RssmImagination.run."""

    def __init__(self, shape: Sequence[int], mixes: Sequence[float], steps: int, batch: int, weights: Sequence[int], actor: Sequence[tuple[int, int, int]], squashed: bool, floor: float, starts: Sequence[int], outputs: Sequence[int], held: object, threads: int) -> None:
        """
        held: what owns the memory of starts and outputs; lives as long as this. threads: at most so many, where there is work for them.
        """

    def step(self) -> None:
        """
        Dreams from what the starts and the noises hold now; allocates nothing. Raises ValueError for an index that is no class; nothing is written then.
        """

    def load(self, weights: Sequence[int], actor: Sequence[tuple[int, int, int]]) -> None:
        """Packs weights of the same shapes."""

    @property
    def tier(self) -> str:
        """Name of the loops it runs."""

    @property
    def threads(self) -> int:
        """How many threads a dream takes at most."""

class PolicyBinding:
    """
    Where the inputs and outputs of a step lie: addresses in the program's order, 0 for an input that is the policy's own or an output not wanted.
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], held: object) -> None:
        """held: what owns the memory; lives as long as this."""

def program_tensors(program: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> list[tuple[str, int, list[int]]]:
    """Name, type and sizes of each tensor that a program wants."""

class Policy:
    """A compiled policy; see csrc/nn/policy.h."""

    def __init__(self, program: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], tensors: Sequence[int], seed: int) -> None:
        """
        program: its words, int64. tensors: address of each, contiguous; they are copied.
        """

    def step(self, binding: PolicyBinding) -> None:
        """One decision; allocates nothing."""

    def reset(self, mask: int) -> None:
        """Rows of the mask at this address begin anew; all of them if it is 0."""

    def swap(self, tensors: Sequence[int]) -> None:
        """Weights for the next step on, packed by the caller's thread."""

    def seed(self, seed: int, counter: int) -> None:
        """Where its random numbers go on."""

    def state_at(self, index: int) -> int:
        """Address of a state."""

    @property
    def counter(self) -> int:
        """Steps taken since the seed was set."""

    @property
    def swaps(self) -> int:
        """Times that a step took up new weights."""

    @property
    def tier(self) -> str:
        """Name of the loops it runs."""

    @property
    def inputs(self) -> list[tuple[str, int, list[int]]]:
        """Name, type and sizes of each."""

    @property
    def outputs(self) -> list[tuple[str, int, list[int]]]: ...

    @property
    def states(self) -> list[tuple[str, int, list[int]]]: ...

class PolicyTeamBinding:
    """A PolicyBinding for each policy of a team, in their order."""

    def __init__(self, bindings: Sequence[PolicyBinding]) -> None: ...

class PolicyTeam:
    """Policies that step side by side, a thread each; see csrc/nn/team.h."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        """
        policies: a list that nobody changes; they step nowhere else meanwhile.
        """

    def step(self, binding: PolicyTeamBinding) -> None:
        """One decision of each; allocates nothing."""
