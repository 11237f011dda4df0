"""From a graph that torch exported to a program, node by node.

Knows ATen's operators, our own and the instructions; does not know policies. What depends on
weights alone is computed here and now and becomes a tensor; what only looks at numbers otherwise
(slices, transposes, broadcasts) becomes a view and costs nothing when the program runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from metabonk.errors import CompileError
from metabonk.play.compiler.constants import Constant
from metabonk.play.compiler.program import Builder, Opcode, Source
from metabonk.play.compiler.views import Type, View
from metabonk.play.compiler.weights import Precision, linear_tensors, takes_rows

TYPES = {
    torch.float32: Type.F32,
    torch.float64: Type.F32,
    torch.int64: Type.I32,
    torch.int32: Type.I32,
    torch.uint8: Type.U8,
    torch.bool: Type.U8,
}
Value = Any  # a View, a Tensor that is constant, a number, or a list of these
Rule = Callable[["Lowering", Node, Sequence[Value], Mapping[str, Value]], Value]
RULES: dict[Any, Rule] = {}
READS: dict[Any, frozenset[str]] = {}
# What changes no number: where results lie, how gradients are kept, what the node's own shape and
# dtype say anyway.
ASIDE = {
    "memory_format", "layout", "device", "pin_memory", "non_blocking", "implicit", "dtype",
    "keepdim", "padding_idx", "scale_grad_by_freq", "sparse", "sparse_grad", "size", "stride",
}  # fmt: skip


def rule(*targets: Any, reads: str = "") -> Callable[[Rule], Rule]:
    """Registers how nodes with these targets are lowered.

    reads: names of the optional arguments that the rule heeds. One that it does not and that is
    given a value of its own is an error, so that none can be forgotten silently.
    """

    def register(function: Rule) -> Rule:
        for target in targets:
            RULES[target] = function
            READS[target] = frozenset(reads.split())
        return function

    return register


class Lowering:
    """One graph on its way into a Builder. precision: of the layers' weights."""

    def __init__(self, builder: Builder, precision: Precision) -> None:
        self.builder = builder
        self.precision = precision
        self._constants: dict[int, tuple[Tensor, View]] = {}
        # How a constant that is not a parameter itself comes from what is; by identity.
        self._recipes: dict[int, tuple[Tensor, Callable[[], Tensor]]] = {}

    def run(self, graph: torch.fx.Graph, values: Mapping[str, Value]) -> list[Value]:
        """Lowers every node; `values` holds what the placeholders stand for. Returns what the
        graph returns. Raises CompileError that names the operator and where it comes from."""
        found: dict[Node, Value] = {}

        def value(x: Any) -> Value:
            if isinstance(x, Node):
                return found[x]
            if isinstance(x, list | tuple):
                return [value(y) for y in x]
            return x

        for node in graph.nodes:
            if node.op == "placeholder":
                found[node] = self._placeholder(values[node.name])
            elif node.op == "output":
                result = value(node.args[0])
                return list(result)
            else:
                kwargs = {key: value(x) for key, x in node.kwargs.items()}
                found[node] = self._lower(node, value(node.args), kwargs)
        raise CompileError("the graph returns nothing")

    def _placeholder(self, value: Value) -> Value:
        if not isinstance(value, Constant):
            return value
        self._remember(value.value, value.now)
        return value.value

    def _lower(self, node: Node, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if node.op == "call_function" and not _mentions_view((args, list(kwargs.values()))):
            return self._fold(node, args, kwargs)
        lower = RULES.get(node.target)
        if lower is None:
            raise CompileError(
                f"{node.target} cannot be compiled yet ({_origin(node)}): write the layer with "
                "another operator, or add a rule to metabonk/play/compiler/elements.py"
            )
        for name, given in _unread(node.target, args, kwargs):
            raise CompileError(
                f"{node.target} with {name} {given} cannot be compiled yet ({_origin(node)}): "
                f"leave {name} at its default, or write the layer with another operator"
            )
        return lower(self, node, args, kwargs)

    def _fold(self, node: Node, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        """What does not depend on the observation, computed now."""
        function: Any = node.target
        if torch.Tag.nondeterministic_seeded in getattr(function, "tags", ()):
            raise CompileError(
                f"{function} draws at random ({_origin(node)}), which a program would do once and "
                "for all: take the random numbers as an input"
            )
        result = function(*args, **kwargs)
        if function is operator.getitem or any(x is result for x in (*args, *kwargs.values())):
            return result  # it is known already

        def again() -> Value:
            return function(*self._fresh(args), **self._fresh(kwargs))

        if isinstance(result, Tensor):
            self._remember(result, again)
        elif isinstance(result, list | tuple):
            for i, part in enumerate(result):
                self._remember(part, partial(lambda i: again()[i], i))
        return result

    def _remember(self, result: Tensor, recipe: Callable[[], Tensor]) -> None:
        self._recipes[id(result)] = result, recipe

    def _fresh(self, value: Value) -> Value:
        """The value from what the parameters hold now."""
        if isinstance(value, Tensor):
            return self._recipes[id(value)][1]() if id(value) in self._recipes else value
        if isinstance(value, list | tuple):
            return [self._fresh(x) for x in value]
        if isinstance(value, dict):
            return {key: self._fresh(x) for key, x in value.items()}
        return value

    def derive(self, function: Callable[..., Tensor], *args: Value) -> Tensor:
        """A constant made of constants, which follows when these change."""
        result = function(*args)
        self._remember(result, lambda: function(*self._fresh(args)))
        return result

    def source(self, value: Tensor) -> Source:
        """Gives a constant as an array, from what the parameters hold then."""
        return lambda: to_array(self._fresh(value))

    def view(self, value: Value) -> View:
        """A View of what is one, or of a constant, which then becomes a tensor."""
        if isinstance(value, View):
            return value
        if not isinstance(value, Tensor):
            value = torch.tensor(value)
        known = self._constants.get(id(value))
        if known is None:
            name = f"constant.{len(self._constants)}"
            source = self.source(value)
            known = value, self.builder.tensor(name, source(), source)
            self._constants[id(value)] = known
        return known[1]

    def result(self, node: Node, type_: Type | None = None) -> View:
        """Fresh memory for what a node gives."""
        meta = node.meta["val"]
        return self.builder.new(type_of(node) if type_ is None else type_, tuple(meta.shape))

    def linear(self, x: View, weight: Tensor, bias: Tensor | None, name: str) -> View:
        """x [..., inputs] times weight [outputs, inputs] transposed, plus bias."""
        build, lead = self.builder, x.sizes[:-1]
        outputs, inputs = weight.shape
        rows = int(np.prod(lead, dtype=np.int64))
        exact = self.precision.format_of(outputs, inputs) is None
        flat = build.reshape(x, (rows, inputs))
        if not takes_rows(flat, exact):
            flat = build.copy(flat)
        name = self.unused(name)
        sources = self.source(weight), None if bias is None else self.source(bias)
        integers = linear_tensors(build, self.precision, name, *sources)
        y = build.new(Type.F32, (rows, outputs))
        build.emit(Opcode.LINEAR, y, flat, integers=integers)
        return build.reshape(y, (*lead, outputs))

    def unused(self, name: str) -> str:
        """`name`, with a number if another layer has it."""
        taken = {key.rpartition(".")[0] for key in self.builder.tensors}
        numbers = (f"{name}.{i}" for i in range(len(taken) + 1))
        return name if name not in taken else next(n for n in numbers if n not in taken)


def to_array(value: Tensor) -> np.ndarray[Any, Any]:
    """A constant as the core holds it. Raises CompileError for integers beyond 32 bits."""
    value = value.detach().cpu()
    if value.dtype == torch.bool:
        value = value.to(torch.uint8)
    if value.dtype == torch.float64:
        value = value.float()
    if value.dtype == torch.int64:
        if value.numel() and (value.max() >= 2**31 or value.min() < -(2**31)):
            raise CompileError("a constant integer needs more than 32 bits")
        value = value.int()
    return np.ascontiguousarray(value.numpy())


def type_of(node: Node) -> Type:
    """Of what a node gives. Raises CompileError for a dtype that programs do not have."""
    dtype = node.meta["val"].dtype
    if dtype not in TYPES:
        known = ", ".join(str(one).removeprefix("torch.") for one in TYPES)
        raise CompileError(f"{node.target} gives {dtype} ({_origin(node)}); compiled are {known}")
    return TYPES[dtype]


def parameter_name(node: Node) -> str:
    """A readable name for the tensors of a layer: where in the network it stands."""
    return _origin(node).split(" in ")[0].replace(" ", "") or node.name


def _origin(node: Node) -> str:
    stack = node.meta.get("nn_module_stack")
    path = ""
    if stack:
        path = str(list(stack.values())[-1][0]).rpartition("']")[2].strip("._") or "policy"
    trace = (node.meta.get("stack_trace") or "").strip().splitlines()
    place = trace[-2].strip() if len(trace) > 1 else ""
    return f"{path} in {place}" if place else path or node.name


def _unread(
    target: Any, args: Sequence[Value], kwargs: Mapping[str, Value]
) -> Iterator[tuple[str, Value]]:
    """Optional arguments, with their values, that are given and that the rule would ignore."""
    schema = getattr(target, "_schema", None)
    for place, argument in enumerate([] if schema is None else schema.arguments):
        name = argument.name
        if not argument.has_default_value() or name in READS[target] | ASIDE:
            continue
        value = kwargs.get(name, args[place] if place < len(args) else argument.default_value)
        if isinstance(value, View | Tensor) or value != argument.default_value:
            yield name, value


def _mentions_view(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_mentions_view(x) for x in value)
    return isinstance(value, View)
