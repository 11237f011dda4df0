"""The eval stage: whoever serves for a run, measured beside its baselines, kept as an artifact.

Knows run directories, games and evaluate.py; does not know how anybody was trained. The run's
own evaluations are `evaluations/<step>`, and reports show the newest of them; measurements that
someone asked for later carry their seed, episodes and way of acting in their name.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.config import Config, GameConfig
from metabonk.errors import CheckpointError, CorruptError
from metabonk.games import accepts, from_config, in_processes
from metabonk.games.native import NativeGame
from metabonk.learn import checkpoint, faults, presets
from metabonk.learn.dreams.versions import of_checkpoint
from metabonk.learn.evaluate import Evaluation, evaluate
from metabonk.learn.players import Players, Who, who_of
from metabonk.learn.report.film import Remembering
from metabonk.learn.trainer import parse_fixed
from metabonk.models.actor import Uniform
from metabonk.models.policy import ActorCritic, build
from metabonk.protocols import BatchGame, FloatArray, Policy
from metabonk.stage import Context, Stage

FOLDER = "evaluations"
KIND = "eval"
RESULT = "evaluation.json"
BEST = "best.safetensors"
MOST_ENVS = 128


class Assessor:
    """Evaluates the players of one run; the game is made when first needed and kept.

    own: whether these are the evaluations that the run itself reports.
    """

    def __init__(self, run: Path, config: Config, *, seed: int = 0, own: bool = True) -> None:
        self.run = run
        self.config = config
        self.seed = seed
        self.own = own
        self._game: BatchGame | None = None

    @property
    def game(self) -> BatchGame:
        if self._game is None:
            count = at_once(self.config.game, self.config.run.eval_episodes)
            self._game = repeatable(self.config.game, count)
        return self._game

    def assess(self, players: Players, saved: Artifact, *, again: bool = False) -> Artifact:
        """Measures whoever serves of `players`, whose checkpoint is `saved`, beside the other one,
        and writes the evaluation.

        What was measured before is returned as it is, unless asked for `again`.
        """
        run = self.config.run

        def body(context: Context[dict[str, Any]]) -> Artifact:
            artifact.sweep(context.directory)  # a stage has its directory for itself
            return self._measure(context.directory / self._name(saved), players, saved)

        stage = Stage("eval", body, atomic=True)
        question = {
            "name": self._name(saved),
            "game": msgspec.to_builtins(self.config.game),
            "episodes": run.eval_episodes,
            "sampled": run.eval_sampled,
        }
        if players.rival is not None:
            question["player"] = players.serves
        where = self.run / FOLDER
        return stage.run(where, question, seed=self.seed, inputs=(saved,), again=again)

    def _name(self, saved: Artifact) -> str:
        step, run = f"{saved.card.details['step']:012d}", self.config.run
        if self.own:
            return step
        return f"{step}-seed{self.seed}-{run.eval_episodes}-{acting(run.eval_sampled)}"

    def _measure(self, path: Path, players: Players, saved: Artifact) -> Artifact:
        run, game = self.config.run, self.game

        def playing(who: Who) -> Policy:
            return players.playing(who, sampled=run.eval_sampled, seed=self.seed)

        policy = Remembering(playing(players.serves))
        result = evaluate(
            game,
            policy,
            episodes=run.eval_episodes,
            seed=self.seed,
            baselines=baselines(game, self.config, self.seed),
            sampled=run.eval_sampled,
            player=players.serves,
            rival=None if players.rival is None else (players.rival, playing(players.rival)),
        )
        means = {name: other.mean for name, other in result.against.items()}
        return artifact.write(
            path,
            kind=KIND,
            seed=self.seed,
            files={
                RESULT: msgspec.json.encode(result),
                # What was done up to the best episode and in it, so that it can be shown again.
                BEST: {"action": policy.of(result.best * result.envs // result.episodes)},
            },
            parents=(saved.hash,),
            metrics={"return_mean": Measured(value=result.return_mean, baselines=means)},
            details=result.summary(),
            replace=True,
        )

    @staticmethod
    def latest(run: Path) -> Evaluation | None:
        """The run's own newest evaluation, or None. Raises CorruptError if it is damaged."""
        paths = own_evaluations(run)
        return read(artifact.load(paths[-1], kind=KIND)) if paths else None

    @staticmethod
    def best_actions(run: Path) -> FloatArray:
        """What the newest evaluation did in the environment of its best episode [T, columns]."""
        return artifact.load(own_evaluations(run)[-1], kind=KIND).tensors(BEST)["action"]

    def close(self) -> None:
        if self._game is not None:
            self._game.close()
            self._game = None


def read(found: Artifact) -> Evaluation:
    """What an evaluation found. Raises CorruptError if the file is damaged."""
    try:
        return msgspec.json.decode(found.read(RESULT), type=Evaluation)
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{found.path / RESULT}: {error}; evaluate the run again") from error


def own_evaluations(run: Path) -> list[Path]:
    """The directories of the run's own evaluations, oldest first."""
    return sorted(p for p in (run / FOLDER).glob("*") if p.name.isdigit())


def prune(run: Path) -> None:
    """Clears away the evaluations of checkpoints that are gone.

    The run's own newest stays: what it reports must not vanish before there is a newer one.
    """
    kept = {path.name for path in checkpoint.listed(run)}
    newest = max(kept, default="")
    own = [path.name for path in own_evaluations(run) if path.name <= newest][-1:]
    for path in (run / FOLDER).glob("[0-9]*"):
        if path.name not in own and path.name.partition("-")[0] not in kept:
            shutil.rmtree(path)


def repeatable(config: GameConfig, num_envs: int, **settings: Any) -> BatchGame:
    """The configured game as it is evaluated: every episode is the same one for whoever plays it.

    settings: further ones of the game's own. Most games are so in any case; Gymnasium's draw one
    episode after the other from generators that whoever played before has used, unless told not to.
    """
    if accepts(config.name, "seeded"):
        settings["seeded"] = True
    return from_config(config, num_envs, **settings)


def acting(sampled: bool) -> str:
    """How actions were chosen, in a word."""
    return "sampled" if sampled else "greedy"


def at_once(game: GameConfig, episodes: int) -> int:
    """How many of `episodes` episodes of a game are played side by side. Where every environment is
    a process no more of them than it is trained with: they are what the machine has room for."""
    most = min(game.envs, MOST_ENVS) if in_processes(game.name) else MOST_ENVS
    return side_by_side(episodes, most)


def side_by_side(episodes: int, most: int) -> int:
    """How many of `most` environments play `episodes` episodes, the same number each if at least a
    quarter of them can."""
    if episodes <= most:
        return episodes
    fitting = [n for n in range(-(-most // 4), most + 1) if episodes % n == 0]
    return fitting[-1] if fitting else -(-most // 2)


def baselines(game: BatchGame, config: Config, seed: int) -> dict[str, Policy]:
    """`random`, always, and `scripted` where the game has one: arena's player, grid64's solvers.

    Random play leaves alone the branches that the policy does not choose either.
    """
    fixed = parse_fixed(config.model.fixed)
    found: dict[str, Policy] = {"random": Uniform(game.action_layout, seed=seed, fixed=fixed)}
    if game.name == "arena":
        from metabonk.games.arena import level_of
        from metabonk.games.scripted import Habits, ScriptedPolicy

        found["scripted"] = ScriptedPolicy(Habits(size=level_of(config.game.level).terrain.size))
    elif game.name.startswith("grid64/") and isinstance(game, NativeGame):
        from metabonk.games.grid64_solver import SolverPolicy

        found["scripted"] = SolverPolicy(game)
    return found


def load_model(run: Path, game: BatchGame, config: Config) -> tuple[ActorCritic, Artifact]:
    """The policy's newest network of a run, checked against the game it is to play."""
    found = faults.usable(run)
    checkpoint.check_description(found.card.details, game.observation_space, game.action_layout)
    model = build(
        game.observation_space,
        game.action_layout,
        config.model,
        seed=found.card.seed,
        fixed=parse_fixed(config.model.fixed),
    )
    checkpoint.load_weights(model, found.tensors(checkpoint.WEIGHTS))
    return model, found


def load_players(run: Path, game: BatchGame, config: Config) -> tuple[Players, Artifact]:
    """Who can play for a run, from its newest checkpoint, checked against the game they are to
    play. Raises CheckpointError for another game's."""
    model, found = load_model(run, game, config)
    serves = found.card.details.get("serves")
    if serves is None:  # nobody but the policy plays there
        return Players(model), found
    dreams = of_checkpoint(found, game.observation_space, game.action_layout, config)
    if dreams.dreamer is None:
        raise CheckpointError(
            f"{found.path}: its card says who serves, and there is no dreamer in it: "
            "go on from the checkpoint before"
        )
    return Players(model, (dreams.world, dreams.dreamer), who_of(serves)), found


def assess_run(
    run: Path,
    *,
    episodes: int = 0,
    sampled: bool | None = None,
    seed: int = 0,
    again: bool = False,
) -> Artifact:
    """Evaluates the newest checkpoint of a run directory, beside what the run itself reports.

    episodes and sampled: as the run was configured unless given. seed: 0 are the episodes that
    training reports on, any other gives fresh ones. again: also what was measured before.
    """
    config = presets.begun(run, environ={})
    if episodes:
        config.run.eval_episodes = episodes
    if sampled is not None:
        config.run.eval_sampled = sampled
    assessor = Assessor(run, config, seed=seed, own=False)
    try:
        players, found = load_players(run, assessor.game, config)
        return assessor.assess(players, found, again=again)
    finally:
        assessor.close()
