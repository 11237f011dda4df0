"""Compiled policies: a trained network as one native object that decides in a single call.

    policy = compile(model)                 # needs Torch
    policy.save("runs/best/policy")
    policy = load("runs/best/policy")       # needs none
    action = policy.step(observation)       # float32 [B, columns]

Knows programs, artifacts and numpy. What was trained, with its encoder, recurrent cell, heads and
the draw of an action, is one program (metabonk.play.compiler), run by the core: a step allocates
nothing, carries the recurrent state, and draws random numbers that follow from the seed and the
number of steps. Weights can be swapped between two steps without a pause.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from metabonk import _core, artifact
from metabonk.config import cap_cpu
from metabonk.errors import CompileError, CorruptError
from metabonk.play.compiler.program import Program
from metabonk.play.compiler.views import DTYPES, Type
from metabonk.protocols import Observation

if TYPE_CHECKING:
    from metabonk.models.actor import Actor
    from metabonk.models.dreamer import DreamerPolicy
    from metabonk.models.policy import ActorCritic
    from metabonk.play.compiler.weights import PrecisionName

KIND = "policy"
TENSORS = "policy.safetensors"  # of an artifact; the C library reads it too
PROGRAM = "program"  # the tensor in it that holds the words
OWN = ("is_first", "uniform", "normal")  # inputs that a policy fills itself

FloatArray = npt.NDArray[np.float32]
NOTHING: FloatArray = np.zeros((0, 0), np.float32)
Array = npt.NDArray[Any]


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a program was compiled for.

    batch: rows per step. precision: of the layers. sampled: whether actions are drawn, else the
    likeliest are taken. seed: of the random numbers. columns: of an action row.
    """

    batch: int
    precision: str
    sampled: bool
    seed: int
    columns: int


class Bound:
    """A step bound to the memory of its observation and action.

    step(): reads the observation as it is then and writes `action` [B, columns]. One native call
    that allocates nothing; ValueError if an index in the observation is out of range.
    """

    def __init__(self, native: Any, binding: Any, action: FloatArray) -> None:
        self.action = action
        self._native, self._binding = native, binding

    def step(self) -> FloatArray:
        """Decides; returns `action`."""
        self._native.step(self._binding)
        return self.action


class Team:
    """Compiled policies that step side by side, a thread each: parts of a batch that is worth it.

    Nobody else may step them. What is bound is stepped by what `bind` returns, one native call.
    """

    def __init__(self, policies: Sequence[CompiledPolicy]) -> None:
        self.policies = tuple(policies)
        self._native = _core.nn.PolicyTeam([policy._native for policy in policies])

    def bind(self, parts: Sequence[Bound]) -> Callable[[], None]:
        """The step of all of them, from what each one's `bind_all` gave, in their order. Raises
        ValueError for a step of another policy or another number of them."""
        natives = [policy._native for policy in self.policies]
        if [part._native for part in parts] != natives:
            raise ValueError("parts: wanted one bound step of each of the team's policies")
        binding = _core.nn.PolicyTeamBinding([part._binding for part in parts])
        return functools.partial(self._native.step, binding)


class CompiledPolicy:
    """A policy for `terms.batch` games at a time. One thread steps it; any may swap its weights."""

    def __init__(self, program: Program, terms: Terms) -> None:
        self.program = program
        self.terms = terms
        self._native = _native(program, terms.seed)
        self.inputs = {
            name: (DTYPES[Type(kind)], tuple(sizes)) for name, kind, sizes in self._native.inputs
        }
        self.outputs = {
            name: (DTYPES[Type(kind)], tuple(sizes)) for name, kind, sizes in self._native.outputs
        }
        self._bound: Bound | None = None
        self._own: dict[str, Array] = {}

    @property
    def tier(self) -> str:
        """Name of the loops it runs: portable, avx2 or avx512."""
        return str(self._native.tier)

    @property
    def counter(self) -> int:
        """Steps taken since it was made or seeded."""
        return int(self._native.counter)

    @property
    def swaps(self) -> int:
        """Times that a step took up new weights."""
        return int(self._native.swaps)

    def states(self) -> list[Array]:
        """The recurrent state as it is now, in the program's order: views that steps write to."""
        found = []
        for index, (_, kind, sizes) in enumerate(self._native.states):
            dtype = DTYPES[Type(kind)]
            count = math.prod(sizes) * dtype.itemsize
            memory = (ctypes.c_uint8 * count).from_address(self._native.state_at(index))
            memory._policy = self._native  # keeps it alive as long as a view lives
            found.append(np.frombuffer(memory, dtype).reshape(sizes))
        return found

    def step(self, observation: Observation) -> FloatArray:
        """The action rows float32 [B, columns] for an observation [B, ...] of every input.

        The array is overwritten by the next step. For loops that always use the same memory, `bind`
        spares the copy. Raises ValueError naming the input whose dtype or shape does not fit.
        """
        if self._bound is None:
            self._own = {
                name: np.zeros(sizes, dtype)
                for name, (dtype, sizes) in self.inputs.items()
                if name not in OWN
            }
            self._bound = self.bind(self._own)
        for name, array in self._own.items():
            if name not in observation:
                raise ValueError(f"observation: it lacks {name!r}; wanted {', '.join(self._own)}")
            _expect(f"observation {name!r}", observation[name], array.dtype, array.shape)
            np.copyto(array, observation[name])
        return self._bound.step()

    def bind(self, observation: Observation, action: FloatArray | None = None) -> Bound:
        """A step over this memory: C-ordered arrays [B, ...], which are never copied.

        action: float32 [B, columns], a new array if None. Raises ValueError that names what cannot
        be bound.
        """
        if action is None:
            action = np.zeros((self.terms.batch, self.terms.columns), np.float32)
        given = {name: array for name, array in observation.items() if name in self.inputs}
        return self.bind_all(given, {"action": action})

    def bind_all(self, inputs: Observation, outputs: Mapping[str, Array]) -> Bound:
        """`bind` for callers that also hand in what is the policy's own (`is_first`, `uniform`,
        `normal`) or want more outputs than the action. Raises ValueError as `bind` does."""
        for name, (dtype, sizes) in self.inputs.items():
            if name in inputs:
                _expect(f"input {name!r}", inputs[name], dtype, sizes)
            elif name not in OWN:
                wanted = ", ".join(n for n in self.inputs if n not in OWN)
                raise ValueError(f"observation: it lacks {name!r}; wanted {wanted}")
        for name, array in outputs.items():
            if name not in self.outputs:
                raise ValueError(f"output {name!r}: there are {', '.join(self.outputs)}")
            dtype, sizes = self.outputs[name]
            _expect(f"output {name!r}", array, dtype, sizes, written=True)
        reads = [inputs[n].ctypes.data if n in inputs else 0 for n in self.inputs]
        writes = [outputs[n].ctypes.data if n in outputs else 0 for n in self.outputs]
        held = (*inputs.values(), *outputs.values())
        binding = _core.nn.PolicyBinding(reads, writes, held)
        return Bound(self._native, binding, outputs.get("action", NOTHING))

    def refresh(self) -> None:
        """Takes what the network that this was compiled from holds now: the next step uses it.

        Raises CompileError for a policy that was loaded, which has no network at hand, and for a
        network whose tensors are of other dtypes or shapes than they were; the policy goes on with
        the weights that it has.
        """
        if not self.program.sources:
            raise CompileError("refresh: a loaded policy has no network; see swap()")
        tensors = {name: np.array(make(), order="C") for name, make in self.program.sources.items()}
        for name, array in tensors.items():
            had = self.program.tensors[name]
            if array.dtype != had.dtype or array.shape != had.shape:
                raise CompileError(
                    f"refresh: {name} is {array.dtype} {list(array.shape)} now; it was compiled as "
                    f"{had.dtype} {list(had.shape)}: compile the network anew"
                )
        self._native.swap(_addresses(tensors))
        self.program = Program(self.program.words, tensors, self.program.sources)

    def reset(self, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Rows of `mask` [B] forget their past before they next decide; all of them if None."""
        if mask is None:
            self._native.reset(0)
            return
        # As many as the program has: it is that which the core goes by.
        _, rows = self.inputs.get("is_first", (None, (self.terms.batch,)))
        _expect("mask", mask, np.dtype(np.bool_), rows)
        self._native.reset(mask.ctypes.data)

    def seed(self, seed: int, counter: int = 0) -> None:
        """Random numbers go on as those of `seed` after `counter` steps. Raises ValueError for what
        is no whole number from 0 to 2^64 - 1."""
        _expect_word("seed", seed)
        _expect_word("counter", counter)
        self._native.seed(seed, counter)

    def swap(self, other: CompiledPolicy) -> None:
        """Takes the weights of a policy that was compiled in the same way: the next step uses them.

        The recurrent state and the counter stay. Packing is done here, on the caller's thread; the
        thread that steps does not wait. Raises CompileError if the two are different programs.
        """
        if not np.array_equal(self.program.words, other.program.words):
            raise CompileError(
                f"swap: the other policy ({_said(other.terms)}) is another program than this one "
                f"({_said(self.terms)}): compile both from the same network in the same way"
            )
        self._native.swap(_addresses(other.program.tensors))
        self.program = other.program

    def save(
        self, path: Path | str, *, parents: Sequence[str] = (), replace: bool = False
    ) -> artifact.Artifact:
        """Writes an artifact that `load` and the C library read."""
        tensors = {**self.program.tensors, PROGRAM: self.program.words}
        return artifact.write(
            path,
            kind=KIND,
            seed=self.terms.seed,
            files={TENSORS: tensors},
            parents=parents,
            details={
                "terms": msgspec.to_builtins(self.terms),
                "tensors": list(self.program.tensors),
            },
            replace=replace,
        )


def compile(
    policy: ActorCritic | Actor | DreamerPolicy,
    precision: PrecisionName = "fp32",
    *,
    batch: int = 1,
    sampled: bool | None = None,
    seed: int | None = None,
    valued: bool = False,
) -> CompiledPolicy:
    """Compiles a trained network, or an Actor or DreamerPolicy, whose `sampled` and `seed` are then
    the defaults.

    precision: of the layers' weights: `fp32` gives what torch gives up to rounding; the others
    trade exactness for less memory to stream. batch: rows per step. sampled: draw actions as in
    training, else take the likeliest. valued: also give the critic's value of what is observed, the
    output `value` float32 [B]; the live loop's ledger keeps it. Raises CompileError that names what
    cannot be compiled.
    """
    from metabonk.models.policy import ActorCritic
    from metabonk.play.compiler.assembly import assemble
    from metabonk.play.compiler.dreamers import decision_of
    from metabonk.play.compiler.tracing import ACTION, VALUE

    if not isinstance(policy, ActorCritic):
        sampled = policy.sampled if sampled is None else sampled
        seed = policy.seed if seed is None else seed
    if not isinstance(batch, int | np.integer) or batch < 1:
        raise CompileError(f"batch: {batch} rows; wanted one or more")
    _expect_word("seed", seed or 0)
    drawn = True if sampled is None else sampled
    decision = decision_of(policy, drawn)
    outputs = (ACTION, VALUE) if valued else (ACTION,)
    program = assemble(decision, precision, batch=batch, outputs=outputs)
    columns = decision.head.layout.columns
    terms = Terms(batch=batch, precision=precision, sampled=drawn, seed=seed or 0, columns=columns)
    return CompiledPolicy(program, terms)


def load(path: Path | str) -> CompiledPolicy:
    """Reads what `save` wrote, without Torch. Raises CorruptError naming what is damaged."""
    found = artifact.load(path, kind=KIND)
    tensors = found.tensors(TENSORS)
    try:
        terms = msgspec.convert(found.card.details["terms"], Terms)
        words = tensors.pop(PROGRAM)
        ordered = {name: tensors[name] for name in found.card.details["tensors"]}
        return CompiledPolicy(Program(words, ordered), terms)
    except (KeyError, ValueError, TypeError, msgspec.ValidationError) as error:
        raise CorruptError(
            f"{found.path} is no policy that this version can run: {error}"
        ) from error


def _expect_word(name: str, value: int) -> None:
    if not isinstance(value, int | np.integer) or not 0 <= value < 1 << 64:
        raise ValueError(f"{name}: {value}; wanted a whole number from 0 to 2^64 - 1")


def _native(program: Program, seed: int) -> Any:
    cap_cpu()  # before anything of the core runs, METABONK_CPU counts in libraries too
    _check_tensors(program)
    return _core.nn.Policy(program.words, _addresses(program.tensors), seed)


def _check_tensors(program: Program) -> None:
    """The core believes what it is told about the size of tensors, so that is checked here."""
    described = _core.nn.program_tensors(program.words)
    if len(described) != len(program.tensors):
        raise CorruptError(
            f"program: it has {len(described)} tensors, {len(program.tensors)} were given"
        )
    for (name, kind, sizes), (given, array) in zip(described, program.tensors.items(), strict=True):
        dtype = DTYPES[Type(kind)]
        if name != given or array.dtype != dtype or array.shape != tuple(sizes):
            raise CorruptError(
                f"program: tensor {given!r} is {array.dtype} {list(array.shape)}; wanted {name!r}, "
                f"{dtype} {list(sizes)}"
            )


def _addresses(tensors: Mapping[str, Array]) -> list[int]:
    return [array.ctypes.data for array in tensors.values()]


def _expect(
    what: str, array: Array, dtype: np.dtype[Any], shape: Sequence[int], written: bool = False
) -> None:
    """Raises ValueError unless the core can use the array as it lies."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{what} is {type(array).__name__}; wanted a numpy array")
    same = array.dtype == dtype or (dtype == np.uint8 and array.dtype == np.bool_)
    if not same or array.shape != tuple(shape):
        raise ValueError(
            f"{what} is {array.dtype} {list(array.shape)}; wanted {dtype} {list(shape)}"
        )
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise ValueError(f"{what} is strided or misaligned; see numpy.ascontiguousarray")
    if written and not array.flags.writeable:
        raise ValueError(f"{what} cannot be written to")


def _said(terms: Terms) -> str:
    drawn = "sampled" if terms.sampled else "likeliest"
    return f"{terms.precision}, batch {terms.batch}, {drawn} actions"


__all__ = ["Bound", "CompiledPolicy", "Team", "Terms", "compile", "load"]
