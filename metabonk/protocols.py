"""The small Protocols that join rooms by injection. Knows numpy, the records and the spaces only.

A room that needs something from a higher one takes it as one of these; it never imports upward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # named only: who does without games does without Gymnasium
    from gymnasium import spaces as gs

    from metabonk.spaces import ActionLayout

Array = npt.NDArray[Any]
Observation = Mapping[str, Array]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@runtime_checkable
class BatchGame(Protocol):
    """N environments that step in one call and write where the caller says.

    Observations are dicts of arrays [N, ...] keyed as in `observation_space` (one environment's
    space, always a Dict; plain spaces appear under the key `"observation"`). After an episode
    ended the next step resets that environment, ignores its action and returns its first
    observation with reward 0 (Gymnasium's NEXT_STEP); `is_reset` [N] is True in that step, so that
    a learner masks it.
    """

    name: str
    num_envs: int
    observation_space: gs.Dict
    action_layout: ActionLayout
    snapshots: bool  # True if clone_state and restore_state round-trip bit for bit

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        """Starts every environment anew with its seed and writes the first observations.

        They count as those of a step with `is_reset`, and a game that also has flags to write sets
        it. What is in flight of an asynchronous game is waited for and dropped.
        """

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        """Steps with rows float32 [N, columns]; writes into arrays that the caller owns."""

    def clone_state(self) -> bytes:
        """Everything that the future depends on. Raises GameError if `snapshots` is False."""

    def restore_state(self, state: bytes) -> None:
        """Inverse of `clone_state`; the next observation is that of the cloned moment."""

    def episode_info(self) -> Mapping[str, Array]:
        """Per environment sums of the current or just ended episode: `return`, `length`, and what
        the game adds (`score`, `kills`, ...). Arrays [N]."""

    def close(self) -> None:
        """Releases processes and memory; safe to call twice."""


@runtime_checkable
class Visible(Protocol):
    """A BatchGame that people can watch, whatever it shows to policies.

    A game that has to be told so beforehand takes the setting `visible` when it is made.
    frame_rate: decisions per second of game time. picture_rate: of the pictures of a film, which
    may be more.
    """

    frame_rate: float
    picture_rate: float

    def render(self, index: int) -> Array:
        """What environment `index` shows now, uint8 [H, W, 3]."""

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        """What environment `index` shows from now until its next decision, if it now does `row`
        [columns]: `picture_rate / frame_rate` pictures, fewer where the episode ends. Nothing moves
        on."""


@runtime_checkable
class Captured(Protocol):
    """A BatchGame that runs by itself: its observations have times, and others may play it.

    Games that wait for their next action have neither; their time is that of the game. A row of NaN
    given to `step_into` sends nothing: whoever plays goes on undisturbed.
    """

    def capture_ns(self) -> npt.NDArray[np.int64]:
        """When the present observations [N] were captured: nanoseconds of one monotonic clock. The
        same value twice is the same capture seen again."""

    def inputs(self) -> FloatArray:
        """What whoever plays was doing then, rows [N, columns]; NaN where the game does not say."""


@runtime_checkable
class Policy(Protocol):
    """Acts on batches of observations; recurrent state is explicit and carried by the caller."""

    def reset(self, num_envs: int) -> Any:
        """The state before the first observation."""

    def act(
        self, observation: Observation, state: Any, is_first: BoolArray
    ) -> tuple[FloatArray, Any]:
        """Action rows [N, columns] and the next state; `is_first` [N] forgets the past."""


@runtime_checkable
class WorldModel(Protocol):
    """Dreams, expected free energy, planners and games.dream use only these four."""

    def init(self, num: int) -> Any: ...

    def observe(self, state: Any, action: Any, observation: Any, is_first: Any) -> Any: ...

    def imagine(self, state: Any, action: Any) -> Any: ...

    def decode(self, state: Any) -> Mapping[str, Any]: ...


@runtime_checkable
class Predictor(Protocol):
    """Future frames from past ones, for System 2's strips."""

    name: str

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        """Frames uint8 [H, W, 3] at the times `at`, seconds on the clock of `times`."""


QuestionT = TypeVar("QuestionT", contravariant=True)
AnswerT = TypeVar("AnswerT", covariant=True)


@runtime_checkable
class Backend(Protocol[QuestionT, AnswerT]):
    """Answers System 2's questions, many at a time, on one asyncio loop.

    name: of its metrics and of its answers. limit: questions it should have in flight at most;
    0 if it answers at once and nothing is gained by waiting.
    """

    name: str
    limit: int

    async def open(self) -> None:
        """Finds out what the other end can do. Raises BackendError with the remedy if it is not
        there: called once at the start, where an unreachable backend is an error."""

    async def decide(self, question: QuestionT, /) -> AnswerT:
        """The answer. Raises `cognition.question.Undecided`. Cancelling the call aborts what runs
        at the other end."""

    async def close(self) -> None:
        """Gives up what is in flight and closes connections; safe to call twice."""
