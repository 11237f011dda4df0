class ResearchAgent:
    """
    The agent's end of ResearchPlugin's shared memory. One thread at a time.
    """

    def __init__(self, path: str, bottom_up: bool = True) -> None:
        """
        Raises ValueError if there is no such file, its game is dead, or an agent has it.
        """

    def wait(self, timeout: float, pixels: object) -> tuple:
        """
        Waits for a new observation at most `timeout` seconds and copies its frame into pixels uint8 [height, width, 3]. Returns event, reward, done, step, time_ms; events are ResearchEvent's numbers.
        """

    def act(self, action: object) -> bool:
        """Answers the observation; float32 [6]. False if it cannot be written."""

    def reset(self) -> bool:
        """Asks for a new episode. False if it cannot be written."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def marked(self) -> bool:
        """Whether the game says that it fills reward and done."""

    def counters(self) -> dict: ...

class ResearchGame:
    """
    The game's end of ResearchPlugin's shared memory. One thread at a time.
    """

    def __init__(self, path: str, width: int, height: int, bottom_up: bool = True) -> None:
        """Raises ValueError if a living game has the file or it cannot be made."""

    def publish(self, pixels: object, reward: float, done: bool, step: int, time_ms: int) -> bool:
        """
        Shows an observation, pixels uint8 [height, width, 3]. False if it cannot be written.
        """

    def wait(self, timeout: float, action: object) -> int:
        """
        Waits for the agent's answer at most `timeout` seconds, writes action float32 [6] and returns the event.
        """

    def agent(self) -> bool:
        """Whether an agent that locks is there."""

    def counters(self) -> dict: ...
