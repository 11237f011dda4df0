"""The settings there are: sections, keys, types, bounds, defaults and what each means.

Knows msgspec only. config.py reads them from files, variables and flags.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


def _help(text: str, **bounds: Any) -> Meta:
    return Meta(description=text, **bounds)


class GameConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which game is played, and how."""

    name: Annotated[
        str, _help("Game: arena, grid64/<name>, doom/<scenario>, ...; `metabonk games` lists them.")
    ] = "arena"
    level: Annotated[
        str, _help("Path of a level specification (JSON); empty for the game's own level.")
    ] = ""
    envs: Annotated[int, _help("Games that are played side by side.", ge=1)] = 64
    threads: Annotated[int, _help("Threads that step them; 0: one per processor.", ge=0)] = 0
    pixels: Annotated[
        tuple[int, int], _help("Height and width of rendered frames, as 84x84; 0x0 for none.")
    ] = (0, 0)
    frame_skip: Annotated[
        int, _help("Game ticks per decision; 0: the game's own default.", ge=0)
    ] = 0
    latency: Annotated[
        float,
        _help("Seconds until a decision takes effect, simulated; 0: at once.", ge=0.0, le=5.0),
    ] = 0.0
    jitter: Annotated[
        float,
        _help("Seconds by which simulated delays are longer at most, at random.", ge=0.0, le=5.0),
    ] = 0.0
    observation_latency: Annotated[
        float,
        _help("Seconds until what the game shows is seen, simulated.", ge=0.0, le=5.0),
    ] = 0.0
    protocol: Annotated[
        Literal["auto", "v1", "v2"],
        _help("BonkLink's version; auto: v2 where the game announces it."),
    ] = "auto"
    host: Annotated[str, _help("Where BonkLink's game listens.")] = "127.0.0.1"
    port: Annotated[
        int, _help("And on which port; several games are numbered on from it.", ge=1, le=65535)
    ] = 5555
    use_pipe: Annotated[bool, _help("Reach BonkLink over a named pipe, not TCP.")] = False
    pipe_name: Annotated[str, _help("Name of BonkLink's pipe.")] = "BonkLink"
    token_file: Annotated[
        str, _help("File with the secret that BonkLink's game asks for; empty: none.")
    ] = ""
    research_dir: Annotated[str, _help("Folder of ResearchPlugin's shared memory.")] = "/dev/shm"
    instance: Annotated[
        str, _help("Which game of ResearchPlugin; several are numbered on from it.")
    ] = "0"


class ModelConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The network."""

    name: Annotated[
        Literal["mlp", "conv", "pilot", "mamba"],
        _help(
            "mlp: vectors; conv: frames; pilot: recurrent CfC over both, told the time step; "
            "mamba: a selective state space in the CfC's place."
        ),
    ] = "pilot"
    hidden: Annotated[int, _help("Units per layer and of the recurrent state.", ge=1)] = 128
    layers: Annotated[int, _help("Hidden layers.", ge=1)] = 2
    normalize: Annotated[
        bool, _help("Scale every input by the mean and deviation that were seen so far.")
    ] = True
    decisive: Annotated[
        str,
        _help("Choices, as choice,gear, that are not passed over (0) while others are allowed."),
    ] = ""
    fixed: Annotated[
        str, _help("Action branches held at a value, not learned, as click=-1,jump=0.")
    ] = ""
    steer: Annotated[
        str,
        _help(
            "Action of two columns, as move, that is one of 16 directions or none; else a vector."
        ),
    ] = ""
    press: Annotated[
        float,
        _help("Probability of pressing each button before anything is learned.", gt=0.0, lt=1.0),
    ] = 0.5


class PPOConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Proximal policy optimisation; every value can be changed between updates."""

    learning_rate: Annotated[float, _help("Adam's step size.", gt=0.0)] = 1e-3
    anneal: Annotated[bool, _help("Let the learning rate fall to zero over the run.")] = True
    gamma: Annotated[float, _help("Discount per step.", ge=0.0, le=1.0)] = 0.99
    gamma_end: Annotated[
        float, _help("What it becomes towards the end of the run; 0: it stays.", ge=0.0, lt=1.0)
    ] = 0.0
    discount_time: Annotated[
        bool,
        _help("Discount by game time, 1/15 s counting as one step, where the game tells it."),
    ] = True
    idle_cost: Annotated[
        float, _help("Reward taken off a decision in which no game time passes.", ge=0.0)
    ] = 0.0
    gae_lambda: Annotated[
        float, _help("Advantage estimation: 0 trusts the critic, 1 the returns.", ge=0.0, le=1.0)
    ] = 0.95
    clip: Annotated[float, _help("How far a probability ratio may move per update.", gt=0.0)] = 0.2
    value_clip: Annotated[float, _help("The same for the critic; 0: off.", ge=0.0)] = 0.0
    value_coef: Annotated[float, _help("Weight of the critic's loss.", ge=0.0)] = 0.5
    entropy_coef: Annotated[float, _help("Weight of the entropy bonus.", ge=0.0)] = 0.01
    max_grad_norm: Annotated[float, _help("Longer gradients are scaled to this.", gt=0.0)] = 0.5
    horizon: Annotated[int, _help("Steps per game and rollout.", ge=1)] = 64
    epochs: Annotated[int, _help("Passes over each rollout.", ge=1)] = 3
    minibatches: Annotated[int, _help("Gradient steps per pass.", ge=1)] = 4
    burn_in: Annotated[int, _help("Steps that only warm the recurrent state up.", ge=0)] = 0
    sequence: Annotated[
        int, _help("Steps that a recurrent network is trained through; 0: the horizon.", ge=0)
    ] = 0
    normalize_rewards: Annotated[
        bool, _help("Divide rewards by the running deviation of the return.")
    ] = True
    normalize_advantages: Annotated[bool, _help("Scale advantages to unit deviation.")] = True
    noise_memory: Annotated[
        float,
        _help(
            "Correlation of continuous exploration from one decision to the next.", ge=0.0, lt=1.0
        ),
    ] = 0.0
    target_kl: Annotated[
        float, _help("Stop an update's passes past this KL divergence; 0: never.", ge=0.0)
    ] = 0.0


class WorldConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The world model."""

    enabled: Annotated[bool, _help("Train a world model on every rollout.")] = False
    deter: Annotated[int, _help("Units of what is certain of its state.", ge=1)] = 256
    groups: Annotated[int, _help("Random variables of its state.", ge=1)] = 16
    classes: Annotated[
        int, _help("Values each of them has; 0: they are Gaussians.", ge=0, le=4096)
    ] = 16
    hidden: Annotated[int, _help("Units of each hidden layer.", ge=1)] = 256
    unimix: Annotated[
        float, _help("The uniform distribution's share of every variable.", ge=0.0, lt=1.0)
    ] = 0.01
    learning_rate: Annotated[float, _help("Adam's step size.", gt=0.0)] = 3e-4
    max_grad_norm: Annotated[float, _help("Longer gradients are scaled to this.", gt=0.0)] = 100.0
    batch: Annotated[int, _help("Sequences per update.", ge=1)] = 16
    sequence: Annotated[int, _help("Steps per sequence.", ge=2)] = 64
    burn_in: Annotated[
        int, _help("Steps that only warm its state up, at the start of a sequence.", ge=0)
    ] = 8
    frames: Annotated[
        int, _help("Frames per update that are drawn and compared with what was seen.", ge=1)
    ] = 128
    ratio: Annotated[float, _help("Replayed steps learned from per step played.", gt=0.0)] = 1.0
    replay: Annotated[int, _help("Steps of all games that are kept to learn from.", ge=1)] = 500_000
    free_nats: Annotated[
        float, _help("Nats between what was expected and seen that cost nothing.", ge=0.0)
    ] = 1.0
    kl_dynamics: Annotated[float, _help("Weight of expecting what is seen.", ge=0.0)] = 1.0
    kl_representation: Annotated[float, _help("Weight of seeing what is expected.", ge=0.0)] = 0.1
    intrinsic: Annotated[
        float,
        _help(
            "Reward for a step that surprises it by one deviation; 0: none. Noise surprises too.",
            ge=0.0,
        ),
    ] = 0.0
    start: Annotated[
        str, _help("What `metabonk pretrain dream` wrote, to begin from; empty: from nothing.")
    ] = ""


class DreamConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An actor and a critic that learn in the world model's dreams."""

    enabled: Annotated[
        bool, _help("Learn in dreams of a world model, and teach the policy what was learned.")
    ] = False
    horizon: Annotated[
        int, _help("Steps that a dream lasts; 0: as far as the model is seen to be right.", ge=0)
    ] = 0
    longest: Annotated[int, _help("Steps that it lasts at most.", ge=1)] = 15
    distill_coef: Annotated[
        float, _help("Weight of the policy's divergence from the dreamer.", ge=0.0)
    ] = 0.1
    warm_up: Annotated[
        int, _help("Updates of the world model before anything is dreamed.", ge=0)
    ] = 500
    starts: Annotated[
        int, _help("Dreams per update, from states that were seen; 0: from all of them.", ge=0)
    ] = 0
    gamma: Annotated[float, _help("Discount per step in dreams.", ge=0.0, le=1.0)] = 0.99
    lambda_: Annotated[
        float, _help("Returns: 0 trusts the critic, 1 the dreamed rewards.", ge=0.0, le=1.0)
    ] = 0.95
    hidden: Annotated[int, _help("Units of each hidden layer.", ge=1)] = 256
    learning_rate: Annotated[float, _help("Adam's step size.", gt=0.0)] = 3e-4
    max_grad_norm: Annotated[float, _help("Longer gradients are scaled to this.", gt=0.0)] = 100.0
    entropy_coef: Annotated[float, _help("Weight of the actor's entropy bonus.", ge=0.0)] = 3e-3
    slow: Annotated[
        float, _help("Share of the critic that its slow copy takes per update.", gt=0.0, le=1.0)
    ] = 0.02
    action_noise: Annotated[
        float,
        _help(
            "Exploration in dreams: deviation of columns in half ranges, share of random choices.",
            ge=0.0,
            lt=1.0,
        ),
    ] = 0.0
    share: Annotated[
        float,
        _help(
            "Share of the games that the dreamer itself plays where distill_coef is 0.",
            gt=0.0,
            lt=1.0,
        ),
    ] = 0.25
    recordings: Annotated[
        str, _help("Recordings that `metabonk pretrain dream` learns from without --from.")
    ] = ""


class EfeConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An actor that minimises expected free energy in the world model's dreams.

    What is not said here, as horizons, discounts and warm-up, is said by `dream`.
    """

    enabled: Annotated[
        bool,
        _help("Learn to seek what is preferred and what is not yet known, and teach the policy."),
    ] = False
    precision: Annotated[
        float, _help("Nats that a reward of the usual size is preferred by.", ge=0.0)
    ] = 1.0
    curiosity: Annotated[
        float, _help("Weight of information gain; 0: ambiguity counts as constant.", ge=0.0)
    ] = 1.0
    members: Annotated[int, _help("One-step models whose differences are ignorance.", ge=2)] = 5
    prior: Annotated[
        float, _help("Weight of the random function that each of them starts from.", ge=0.0)
    ] = 3.0
    hidden: Annotated[int, _help("Units of each of their hidden layers.", ge=1)] = 128
    learning_rate: Annotated[float, _help("Their step size.", gt=0.0)] = 1e-3
    max_grad_norm: Annotated[float, _help("Longer gradients are scaled to this.", gt=0.0)] = 100.0
    starts: Annotated[
        int, _help("Dreams per update, from states that were seen; 0: from all of them.", ge=0)
    ] = 256
    distill_coef: Annotated[
        float, _help("Weight of the policy's divergence from this actor.", ge=0.0)
    ] = 0.05
    proven: Annotated[
        bool,
        _help(
            "Teach only while what was earned speaks for it, which exploring cannot show at once."
        ),
    ] = False


class CpqeConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A consistency motor with an ensemble of Q functions, learned from what was recorded."""

    enabled: Annotated[
        bool, _help("Learn a motor from the run's own newest rollouts when it ends (pilot).")
    ] = False
    hidden: Annotated[int, _help("Units of each hidden layer.", ge=1)] = 128
    layers: Annotated[int, _help("Residual layers of teacher and student.", ge=1)] = 2
    members: Annotated[int, _help("Q functions that judge.", ge=2)] = 5
    prior: Annotated[
        float, _help("Weight of each one's random prior, in deviations of the return.", ge=0.0)
    ] = 0.5
    share: Annotated[
        float, _help("Share of all steps that each Q function learns from.", gt=0.0, le=1.0)
    ] = 0.5
    candidates: Annotated[int, _help("Actions that are proposed per decision.", ge=1)] = 8
    beta: Annotated[
        float, _help("Disagreement, in its deviations, that counts against an action.", ge=0.0)
    ] = 1.0
    gamma: Annotated[float, _help("Discount per step.", ge=0.0, le=1.0)] = 0.99
    batch: Annotated[int, _help("Steps per update.", ge=2)] = 256
    teacher_updates: Annotated[int, _help("Updates of the diffusion teacher.", ge=1)] = 4000
    student_updates: Annotated[int, _help("Updates of the student, after it.", ge=1)] = 6000
    q_updates: Annotated[int, _help("Updates of the Q functions, after both.", ge=1)] = 4000
    levels: Annotated[
        int, _help("Noise levels between which the student learns to be consistent.", ge=2)
    ] = 40
    learning_rate: Annotated[float, _help("Adam's step size, falling to a tenth.", gt=0.0)] = 1e-3
    max_grad_norm: Annotated[float, _help("Longer gradients are scaled to this.", gt=0.0)] = 10.0
    slow: Annotated[
        float, _help("Share of a Q function that its target takes per update.", gt=0.0, le=1.0)
    ] = 0.01
    most_steps: Annotated[
        int, _help("Steps that are read from recordings, the newest ones.", ge=2)
    ] = 200_000


class DistilConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A small policy that learns from the log of System 2's decisions."""

    hidden: Annotated[int, _help("Units of each hidden layer.", ge=1, le=1024)] = 64
    updates: Annotated[int, _help("Updates of the policy.", ge=1)] = 3000
    batch: Annotated[int, _help("Decisions per update.", ge=1)] = 256
    learning_rate: Annotated[float, _help("Adam's step size, falling to zero.", gt=0.0)] = 2e-3
    beta: Annotated[
        float,
        _help(
            "Advantage, in deviations of the reward, by which a decision weighs e times as much; "
            "0: all alike.",
            ge=0.0,
        ),
    ] = 2.0
    most_rows: Annotated[
        int, _help("Decisions that are read from a log, the newest ones.", ge=1)
    ] = 50_000


class MenuConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The menu navigator, which goes from menus to a running game."""

    enabled: Annotated[
        bool, _help("Let System 2 press what is in menus, and keep the policy's clicks off them.")
    ] = False
    goal: Annotated[
        str, _help("What it is to reach, in words, as: Start Tier 3 run with Calcium.")
    ] = ""
    model: Annotated[
        str, _help("Model that the server asks about menus; empty: the one of its strategy.")
    ] = ""
    offers: Annotated[bool, _help("Also let it choose among a run's offers, not the policy.")] = (
        False
    )


class Sima2Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The dual-system controller: the embedded planner's directives on a motor's actions."""

    enabled: Annotated[
        bool, _help("Play with planner and motor: directives on top of the policy's actions.")
    ] = False
    goal: Annotated[str, _help("The planner's goal, in words, as: collect everything.")] = (
        "Survive 20 minutes"
    )
    log: Annotated[bool, _help("Show the planner's subgoals.")] = False
    load_cpqe: Annotated[
        bool, _help("Act by the newest consistency motor of the run and not by its policy.")
    ] = False
    push_rollouts: Annotated[
        bool, _help("Record what the controller does into the run's folder rollouts.")
    ] = False
    run: Annotated[
        str, _help("Run whose motor is loaded and where rollouts go; empty: that of the policy.")
    ] = ""
    every: Annotated[float, _help("Seconds of the game between plans.", ge=0.05, le=3600.0)] = 2.0
    latency: Annotated[
        float, _help("Seconds of the game from a state to its plan, simulated.", ge=0.0, le=60.0)
    ] = 0.0


class CognitionConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """System 2 as the game's side sees it: the cognitive server and how it is asked."""

    enabled: Annotated[
        bool, _help("Ask System 2 for directives while playing; no tick waits for it.")
    ] = False
    server: Annotated[
        str, _help("Where the cognitive server is: tcp://HOST:PORT or ipc://PATH.")
    ] = "tcp://localhost:5555"
    every: Annotated[float, _help("Seconds between regular requests.", ge=0.05, le=3600.0)] = 2.0
    patience: Annotated[
        float,
        _help("Seconds from a capture until an answer to it is of no use.", ge=0.05, le=60.0),
    ] = 4.0
    rl_logging: Annotated[
        bool, _help("Report what came of every decision, for training from the server's journal.")
    ] = False
    pictures: Annotated[
        bool, _help("Send strips of frames with the states, where the game has frames.")
    ] = True
    quality: Annotated[int, _help("Of the strips' JPEGs.", ge=1, le=100)] = 85
    predictor: Annotated[
        Literal["auto", "none", "flow", "dream"],
        _help(
            "Who draws the frames that come next; auto: the one that was measured to be clearly "
            "better than copying the last frame, if there is one."
        ),
    ] = "auto"
    fallback: Annotated[
        Literal["rules", "none"],
        _help("Who gives directives while the server gives none: the embedded rules, or nobody."),
    ] = "rules"
    protocol: Annotated[
        Literal["v2", "v1"], _help("v1: of cognitive servers that are deployed already.")
    ] = "v2"
    agent: Annotated[
        str, _help("Name of this process's agents, which are numbered: omega-0, omega-1, ...")
    ] = "omega"
    key: Annotated[
        str, _help("File of these agents' secret key, for a server on another machine.")
    ] = ""
    server_key: Annotated[str, _help("File of that server's public key.")] = ""


class RunConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One training run."""

    directory: Annotated[str, _help("Where the run is kept; empty: runs/<game>-<time>.")] = ""
    seed: Annotated[int, _help("Everything random follows from it.", ge=0)] = 0
    minutes: Annotated[float, _help("Stop after this time; 0: train until `steps`.", ge=0.0)] = 0.0
    steps: Annotated[
        int, _help("Stop after so many steps of all games; 0 without `minutes`: a default.", ge=0)
    ] = 0
    checkpoint_every: Annotated[float, _help("Seconds between checkpoints.", gt=0.0)] = 60.0
    keep_checkpoints: Annotated[int, _help("Newest checkpoints that are kept.", ge=2)] = 3
    eval_every: Annotated[
        float, _help("Seconds between evaluations; 0: only at the end.", ge=0.0)
    ] = 0.0
    eval_episodes: Annotated[int, _help("Episodes per evaluation.", ge=1)] = 64
    eval_sampled: Annotated[
        bool, _help("Evaluate with sampled actions, as in training; else with the likeliest.")
    ] = True
    record: Annotated[bool, _help("Keep every step as episodes under <run>/episodes.")] = False
    video: Annotated[bool, _help("Film the best evaluation episode.")] = True
    torch_threads: Annotated[
        int, _help("Threads of the network; 0: what is quickest here.", ge=0)
    ] = 0
    acting: Annotated[
        Literal["auto", "torch", "compiled"],
        _help("How rollouts are acted; auto: what is quicker here, if the run is long enough."),
    ] = "auto"


class NativeConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The native core."""

    cpu: Annotated[
        Literal["auto", "baseline", "avx2", "avx512"],
        _help("Highest instruction set it may use; games are the same on all."),
    ] = "auto"


class BackendConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who answers System 2's questions."""

    chain: Annotated[
        str,
        _help(
            "Who is asked, in this order, as openai,rules; empty: rules. rules stands behind every "
            "other one."
        ),
    ] = ""
    url: Annotated[
        str,
        _help(
            "Model servers of `openai`, separated by commas: each is asked if those before fail."
        ),
    ] = "http://127.0.0.1:30000"
    model: Annotated[
        str, _help("Their models, separated by commas; empty: the only one a server has.")
    ] = ""
    key_file: Annotated[str, _help("File with the servers' API key; empty: none.")] = ""
    policy: Annotated[str, _help("Distilled policy that `policy` answers with: a directory.")] = ""
    mode: Annotated[
        Literal["auto", "score", "schema"],
        _help("How answers are held to what fits: score options, or a JSON schema."),
    ] = "auto"
    frames: Annotated[
        int, _help("Pictures per question at most; 0: the state alone.", ge=0, le=16)
    ] = 9
    limit: Annotated[int, _help("Questions in flight per model server.", ge=1, le=1024)] = 16
    temperature: Annotated[
        float, _help("Of answers by JSON schema; scores have none.", ge=0.0, le=2.0)
    ] = 0.0
    explain_seconds: Annotated[
        float,
        _help("How long an answer waits for its reasons in words; 0: none.", ge=0.0, le=30.0),
    ] = 0.0
    wait: Annotated[float, _help("Seconds until the model servers have to be there.", ge=0.0)] = 0.0
    probe_timeout: Annotated[
        float, _help("Seconds per question that finds out what a server can.", gt=0.0)
    ] = 60.0


class VlmConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The model server that `metabonk serve vlm` runs."""

    engine: Annotated[
        Literal["sglang", "vllm", "stand-in"],
        _help("What serves the model; stand-in: no model, answers that mean nothing."),
    ] = "sglang"
    environment: Annotated[
        str, _help("Virtual environment that the engine is installed in, of its own.")
    ] = "~/.local/share/metabonk/engine"
    model: Annotated[
        str, _help("Path or name of the model; microsoft/Phi-3-vision-128k-instruct takes vllm.")
    ] = "Qwen/Qwen3-VL-2B-Instruct-FP8"
    host: Annotated[str, _help("Where it listens; beyond this machine only with a key.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _help("And on which port.", ge=1, le=65535)] = 30000
    key_file: Annotated[str, _help("File with the API key that it asks for; empty: none.")] = ""
    tensor_parallel: Annotated[int, _help("GPUs that share the model.", ge=1, le=64)] = 1
    quantization: Annotated[
        str, _help("Of the weights, as awq or fp8; empty: what the model says.")
    ] = ""
    kv_cache: Annotated[
        Literal["auto", "fp8_e4m3", "fp8_e5m2", "bfloat16"], _help("Type of the KV cache.")
    ] = "auto"
    running_requests: Annotated[int, _help("Requests that run at the same time.", ge=1)] = 64
    memory: Annotated[
        float, _help("Share of a GPU's memory for weights and KV cache.", gt=0.0, lt=1.0)
    ] = 0.85
    context: Annotated[int, _help("Tokens of a prompt and its answer at most.", ge=512)] = 8192
    frames: Annotated[int, _help("Pictures of a prompt at most.", ge=1, le=64)] = 9
    encoder_split: Annotated[
        bool, _help("Run the vision encoder as a server of its own, on the next port (sglang).")
    ] = False
    trust_remote_code: Annotated[
        bool, _help("Run code that lies beside the model's weights; only if you know it.")
    ] = False
    arguments: Annotated[str, _help("More arguments for the engine, as on its command line.")] = ""
    load_seconds: Annotated[float, _help("Seconds that loading the model may take.", gt=0.0)] = (
        1200.0
    )
    log: Annotated[
        str, _help("File for what the engine says; empty: engine.log in its environment.")
    ] = ""


class BrokerConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The cognitive server that `metabonk serve cognitive` runs."""

    bind: Annotated[
        str,
        _help(
            "Where agents connect, separated by commas: tcp://HOST:PORT or ipc://PATH; beyond this "
            "machine only with keys."
        ),
    ] = "tcp://127.0.0.1:5555"
    http: Annotated[str, _help("HOST:PORT of /healthz, /readyz and /metrics; empty: nowhere.")] = (
        "127.0.0.1:5556"
    )
    directory: Annotated[str, _help("Where decisions and frames are kept.")] = "runs/cognitive"
    frames_mb: Annotated[
        int, _help("Megabytes of frames kept, of agents that log (METABONK_RL_LOGGING).", ge=0)
    ] = 1024
    frames_days: Annotated[
        float, _help("Days that a frame is kept; 0: while there is room.", ge=0.0)
    ] = 0.0
    power_safe: Annotated[
        bool, _help("Decisions outlive a power cut too, not only a kill; slower.")
    ] = False
    concurrency: Annotated[
        int, _help("Questions with the backend at once at most.", ge=1, le=1024)
    ] = 16
    agents: Annotated[int, _help("Agents at once at most.", ge=1, le=4096)] = 256
    memory_mb: Annotated[
        int,
        _help("Megabytes of its memory past which all connections are dropped.", ge=256),
    ] = 4096
    drain: Annotated[
        float, _help("Seconds that answers on their way have when it ends.", ge=0.0, le=600.0)
    ] = 5.0
    key: Annotated[
        str, _help("Its secret key, of `metabonk keys new`; empty: this machine only.")
    ] = ""
    allow: Annotated[str, _help("List of agents and their public keys (TOML), with a key.")] = ""


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set."""

    game: GameConfig = msgspec.field(default_factory=GameConfig)
    model: ModelConfig = msgspec.field(default_factory=ModelConfig)
    ppo: PPOConfig = msgspec.field(default_factory=PPOConfig)
    world: WorldConfig = msgspec.field(default_factory=WorldConfig)
    dream: DreamConfig = msgspec.field(default_factory=DreamConfig)
    efe: EfeConfig = msgspec.field(default_factory=EfeConfig)
    cpqe: CpqeConfig = msgspec.field(default_factory=CpqeConfig)
    distil: DistilConfig = msgspec.field(default_factory=DistilConfig)
    menu: MenuConfig = msgspec.field(default_factory=MenuConfig)
    sima2: Sima2Config = msgspec.field(default_factory=Sima2Config)
    cognition: CognitionConfig = msgspec.field(default_factory=CognitionConfig)
    run: RunConfig = msgspec.field(default_factory=RunConfig)
    native: NativeConfig = msgspec.field(default_factory=NativeConfig)
    backend: BackendConfig = msgspec.field(default_factory=BackendConfig)
    vlm: VlmConfig = msgspec.field(default_factory=VlmConfig)
    broker: BrokerConfig = msgspec.field(default_factory=BrokerConfig)
