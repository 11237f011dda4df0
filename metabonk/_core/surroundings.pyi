"""What states come to, for rules."""

import numpy
import numpy.typing


class Candidate:
    """A thing to go to."""

    @property
    def id(self) -> int: ...

    @property
    def kind(self) -> int:
        """records.PickupKind."""

    @property
    def away(self) -> float:
        """Metres."""

    @property
    def blocked(self) -> float:
        """How much threatens from its direction."""

    @property
    def worth(self) -> float:
        """Of what is used, less what threatens on the way; 0 of a heart."""

class Surroundings:
    """What a state comes to."""

    @property
    def gold(self) -> float:
        """Infinite where it is not told."""

    @property
    def health(self) -> float:
        """0..1 of the most."""

    @property
    def enemies(self) -> int:
        """That are nearer than twice `near`, projectiles among them."""

    @property
    def danger(self) -> float:
        """
        How much threatens, about the number of ordinary enemies at arm's length.
        """

    @property
    def sectors(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        float64 [16]: threat by compass direction, with half of the neighbouring ones'.
        """

    @property
    def exits(self) -> int:
        """Directions that are all but free."""

    @property
    def gap(self) -> int:
        """
        The direction of the widest gap, away from the middle of what threatens.
        """

    @property
    def pulls(self) -> numpy.typing.NDArray[numpy.float64]:
        """float64 [16]: worth of what lies, by compass direction."""

    @property
    def pull(self) -> float:
        """The same of all directions, less where something is in the way."""

    @property
    def opponents(self) -> bool:
        """Whether somebody is no projectile."""

    @property
    def boss(self) -> int | None:
        """The nearest boss's id, or None."""

    @property
    def heart(self) -> Candidate | None:
        """
        The heart whose way is shortest, what threatens there counting as a detour, or None.
        """

    @property
    def use(self) -> Candidate | None:
        """The best of what is used and can be paid, or None."""

def look(state: bytes, near: float, far: float) -> Surroundings:
    """
    state: packed. near, far: metres at which an enemy and what is used count half. Raises ValueError for other bytes, and where the position or health is no number.
    """
