"""Suite `ops`, RSSM: single steps on one thread as the play loop takes them, and sequences forwards
and backwards as a world model's update does; against torch and ONNX Runtime on the same weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

from . import peaks
from .agreement import EXACT, STRAYS, agreeing
from .case import Case
from .meter import Meter, Timed, fastest
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender


class Model(NamedTuple):
    action: int
    embed: int  # 0 for none
    hidden: int
    deter: int
    groups: int
    classes: int  # 0 for Gaussians


GAUSSIAN = Model(6, 0, 256, 512, 32, 0)
CATEGORICAL = Model(6, 0, 512, 512, 32, 32)
# Of a world model with 2.5 M parameters, 0.8 M are these; encoder, decoder and heads the others.
TRAINED = Model(6, 256, 256, 256, 16, 16)

Way = Literal["native", "torch", "compiled"]
ROUNDED = 1e-2  # of sums over all steps, where rounding chooses another class now and then
DREAMT = 0.02  # the part of numbers that such a choice may move: from there on it is another dream


def cases() -> list[Case]:
    return [
        _step("rssm step, batch 1, GRU 512", GAUSSIAN, 1),
        _step("rssm step, batch 256, GRU 512", GAUSSIAN, 256),
        _step("rssm step, batch 1, 32x32, GRU 512", CATEGORICAL, 1),
        _step("rssm step, batch 1, GRU 512, bf16 weights", GAUSSIAN, 1, "bf16"),
        _step("rssm step, batch 1, 32x32, GRU 512, bf16 weights", CATEGORICAL, 1, "bf16"),
        _step("rssm step, batch 1, GRU 512, int8 weights", GAUSSIAN, 1, "int8"),
        _step("rssm step, batch 1, 32x32, GRU 512, int8 weights", CATEGORICAL, 1, "int8"),
        _train(64, 16),
        _train(16, 64),
        _train(64, 16, one_thread=False),
        _imagine(15, 256),
        _imagine_back(15, 256),
    ]


def _step(name: str, model: Model, batch: int, precision: str = "fp32") -> Case:
    # A one-hot state picks `groups` rows instead of meeting them all.
    macs = model.hidden * (model.action + model.groups) + 3 * model.deter * model.hidden
    macs += 3 * model.deter * model.deter
    macs += model.hidden * (model.deter + model.groups * (model.classes or 2))
    floor = peaks.reads if batch == 1 else peaks.multiply_adds
    macs //= {"fp32": 1, "bf16": 2, "int8": 4}[precision]  # what is read, in words
    return Case(
        "ops",
        name,
        "steps/s",
        Contender("metabonk", lambda: OneThread(_plan(model, batch, precision))),
        (
            Contender("torch", lambda: OneThread(_torch_step(model, batch, False))),
            Contender("torch.compile", lambda: OneThread(_torch_step(model, batch, True))),
            Contender("ONNX Runtime", lambda: OneThread(_onnx_step(model, batch))),
            Contender("floor", lambda: OneThread(floor(macs * batch))),
        ),
    )


def _train(steps: int, batch: int, one_thread: bool = True) -> Case:
    def open_(way: Way) -> Meter:
        meter = _training(steps, batch, way)
        return OneThread(meter) if one_thread else meter

    return Case(
        "ops",
        f"rssm {steps} steps x {batch}, 16x16, GRU 256, forward and backward"
        + ("" if one_thread else ", all threads"),
        "sequences/s",
        Contender("metabonk", lambda: open_("native")),
        (
            Contender("torch", lambda: open_("torch")),
            Contender("torch.compile, each step", lambda: open_("compiled")),
        ),
    )


def _imagine(steps: int, batch: int) -> Case:
    return Case(
        "ops",
        f"imagine {steps} steps x {batch}, 16x16, GRU 256",
        "dreams/s",
        Contender("metabonk", lambda: OneThread(_dreams(steps, batch, "native"))),
        (
            Contender("torch", lambda: OneThread(_dreams(steps, batch, "torch"))),
            Contender("torch.compile", lambda: OneThread(_dreams(steps, batch, "compiled"))),
        ),
    )


def _imagine_back(steps: int, batch: int) -> Case:
    return Case(
        "ops",
        f"imagine {steps} steps x {batch}, 16x16, GRU 256, forward and backward",
        "dreams/s",
        Contender("metabonk", lambda: OneThread(_dreams_back(steps, batch, "native"))),
        (
            Contender("torch", lambda: OneThread(_dreams_back(steps, batch, "torch"))),
            Contender(
                "torch.compile, each step",
                lambda: OneThread(_dreams_back(steps, batch, "compiled")),
            ),
        ),
    )


def problem(model: Model, steps: int, batch: int) -> list[Any]:
    """The arguments of `rssm_scan`; the same ones for all. One-hot states before the first step."""
    torch = require("torch", "train")
    from metabonk.ops.rssm_weights import RssmWeights

    action, embed, hidden, deter, groups, classes = model
    stoch, parameters = groups * (classes or 1), groups * (classes or 2)
    generator = torch.Generator().manual_seed(0)

    def layer(outputs: int, inputs: int) -> list[Any]:
        weight = torch.randn(outputs, inputs, generator=generator) * inputs**-0.5
        return [weight, torch.zeros(outputs)]

    (w_ih, b_ih), (w_hh, b_hh) = layer(3 * deter, hidden), layer(3 * deter, deter)
    weights = [*layer(hidden, stoch + action), w_ih, w_hh, b_ih, b_hh]
    weights += [*layer(hidden, deter), *layer(parameters, hidden)]
    if embed:
        weights += [*layer(hidden, deter + embed), *layer(parameters, hidden)]
    state = torch.randn(batch, stoch, generator=generator)
    if classes:
        picked = torch.randint(classes, (batch, groups), generator=generator)
        state = torch.nn.functional.one_hot(picked, classes).flatten(-2).float()
    noise = (torch.rand if classes else torch.randn)(steps, batch, groups, generator=generator)
    return [
        torch.randn(batch, deter, generator=generator) * 0.5,
        state,
        torch.randn(steps, batch, action, generator=generator),
        torch.randn(steps, batch, embed, generator=generator) if embed else None,
        None,
        noise,
        RssmWeights(*weights),
    ]


def _one(model: Model, batch: int) -> list[Any]:
    deter, stoch, action, _, _, noise, weights = problem(model, 1, batch)
    return [deter, stoch, action[0], None, None, noise[0], weights]


def _plan(model: Model, batch: int, precision: str) -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import rssm_step

    given = _one(model, batch)
    if model.classes:
        by_class = given[1].view(batch, model.groups, model.classes)
        given[1] = by_class.argmax(-1).to(torch.int32)
    plan = rssm_step.plan(*given, classes=model.classes, precision=precision)  # type: ignore[arg-type]
    within = {"fp32": EXACT, "bf16": 0.02, "int8": 0.05}[precision]
    return agreeing(
        f"plan, {precision}",
        Timed(plan.step, 1.0),
        _wanted(model, batch),
        within,
        got=lambda: [plan.out.deter, plan.out.prior],
    )


def _torch_step(model: Model, batch: int, compile_: bool) -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import rssm_step

    given, classes = _one(model, batch), model.classes
    run = compiled(rssm_step.reference) if compile_ else rssm_step.reference

    def step() -> Any:
        with torch.inference_mode():
            found = run(*given, classes=classes)
        return found.deter, found.prior

    return agreeing("torch", Timed(step, 1.0), _wanted(model, batch))


def _wanted(model: Model, batch: int) -> list[Any]:
    """Of a step by the formula the state and the prior: what is drawn is chosen between classes."""
    from metabonk.ops import rssm_step

    found = rssm_step.reference(*_one(model, batch), classes=model.classes)
    return [found.deter, found.prior]


def _onnx_step(model: Model, batch: int) -> Timed:
    """At its best: with arrays handed over in every call, or bound once. Draws no samples."""
    onnxruntime = require("onnxruntime")
    require("onnx")
    from .peers import onnx_rssm

    deter, stoch, action, _, _, _, weights = _one(model, batch)
    arrays = {n: w.numpy() for n, w in weights._asdict().items() if w is not None}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = onnx_rssm.model(batch, arrays, model.classes, 0.01, 0.1)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feeds = {"deter": deter.numpy(), "stoch": stoch.numpy(), "action": action.numpy()}
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    for output in session.get_outputs():
        value = require("numpy").zeros(output.shape, "float32")
        binding.bind_ortvalue_output(output.name, onnxruntime.OrtValue.ortvalue_from_numpy(value))

    def bound() -> None:
        session.run_with_iobinding(binding)

    ways = Timed(lambda: session.run(None, feeds), 1.0), Timed(bound, 1.0)
    results = None, binding.copy_outputs_to_cpu
    return fastest(
        [
            agreeing("ONNX Runtime", way, _wanted(model, batch), got=got)
            for way, got in zip(ways, results, strict=True)
        ]
    )


def _step_by_step(one: Any) -> Any:
    """The unroll of a step that torch.compile has made: to compile all steps as one graph takes it
    minutes for every length."""
    from metabonk.ops import rssm_torch

    def run(deter: Any, stoch: Any, action: Any, embed: Any, *rest: Any, classes: int) -> Any:
        keep, noise, weights = rest
        steps = []
        for t in range(len(action)):
            done = one(deter, stoch, action[t], embed[t], keep, noise[t], weights, classes=classes)
            deter, stoch = done.deter, done.stoch
            steps.append(done)
        return [rssm_torch.stack(column) for column in zip(*steps, strict=True)]

    return run


def _training(steps: int, batch: int, way: Way) -> Timed:
    """A world model's loss as far as the RSSM goes: the divergence of posterior and prior, and what
    heads that read both states would send back; gradients of the embeddings and all weights."""
    from metabonk.ops import rssm_scan as op
    from metabonk.ops import rssm_step

    given, classes = problem(TRAINED, steps, batch), TRAINED.classes
    leaves = [given[3], *given[6]]
    for leaf in leaves:
        leaf.requires_grad_()

    def gradients(run: Any) -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        deter, stoch, prior, posterior, _ = run(*given, classes=classes)
        divergence = (posterior.exp() * (posterior - prior)).sum()
        (divergence + deter.sum() + (stoch * given[3].detach()).sum()).backward()
        return [leaf.grad for leaf in leaves]

    wanted = [gradient.clone() for gradient in gradients(op.reference)]
    run = op.rssm_scan if way == "native" else op.reference
    if way == "compiled":
        run = _step_by_step(compiled(rssm_step.reference))
    return agreeing(way, Timed(lambda: gradients(run), batch), wanted, ROUNDED, strays=STRAYS)


def _dreamer(steps: int, batch: int) -> list[Any]:
    """The arguments of `imagine`: an actor of two layers of 256 units that chooses among six
    actions."""
    torch = require("torch", "train")

    given = problem(TRAINED, steps, batch)
    generator = torch.Generator().manual_seed(1)
    widths = (TRAINED.deter + TRAINED.groups * TRAINED.classes, 256, 256, TRAINED.action)
    actor = [
        (torch.randn(n, m, generator=generator) * m**-0.5, torch.zeros(n))
        for m, n in pairwise(widths)
    ]
    noise = torch.rand(steps, batch, 1, generator=generator)
    return [given[0], given[1], given[5], noise, given[6].prior(), actor]


def _dreams(steps: int, batch: int, way: Way) -> Timed:
    """No gradient."""
    torch = require("torch", "train")
    from metabonk.ops import imagine

    given = _dreamer(steps, batch)
    run = imagine.imagine if way == "native" else imagine.reference
    if way == "compiled":
        run = compiled(run)

    def step(run: Any = run) -> Any:
        with torch.inference_mode():
            dream = run(*given, squashed=False, classes=TRAINED.classes)
        return dream.deter, dream.prior, dream.policy

    return agreeing(way, Timed(step, batch), step(imagine.reference), strays=DREAMT)


def _dreamt_by_step(one: Any) -> Any:
    """As `_step_by_step`, of dreams."""
    from metabonk.ops import imagine_torch, rssm_torch
    from metabonk.ops.rssm_weights import Distribution

    def run(*given: Any, squashed: bool, classes: int) -> Any:
        deter, stoch, noise, action_noise, weights, actor = given
        kind, steps = Distribution(classes, 0.01, 0.1), []
        for t in range(len(noise)):
            done = one(deter, stoch, noise[t], action_noise[t], weights, actor, squashed, kind, 0.1)
            deter, stoch = done.deter, done.stoch
            steps.append(done[: len(imagine_torch.Dream._fields)])
        columns = (rssm_torch.stack(column) for column in zip(*steps, strict=True))
        return imagine_torch.Dream(*columns)

    return run


def _dreams_back(steps: int, batch: int, way: Way) -> Timed:
    """An actor's loss that reaches through the dream: what critics that read both states would send
    back, and its entropy; gradients of the actor, and of the model that carries them."""
    from metabonk.ops import imagine, imagine_torch

    given = _dreamer(steps, batch)
    leaves = [*given[4].given(), *(t for layer in given[5] for t in layer)]
    for leaf in leaves:
        leaf.requires_grad_()

    def gradients(run: Any) -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        dream = run(*given, squashed=False, classes=TRAINED.classes)
        entropy = (dream.policy.exp() * dream.policy).sum()
        (entropy + dream.deter.sum() + (dream.stoch * given[1]).sum()).backward()
        return [leaf.grad for leaf in leaves]

    wanted = [gradient.clone() for gradient in gradients(imagine.reference)]
    run = imagine.imagine if way == "native" else imagine.reference
    if way == "compiled":
        run = _dreamt_by_step(compiled(imagine_torch.step))
    return agreeing(way, Timed(lambda: gradients(run), batch), wanted, ROUNDED, strays=DREAMT)
