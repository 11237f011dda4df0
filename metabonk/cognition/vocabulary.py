"""The closed vocabulary of directives: what System 2 may ask of the next seconds.

A directive is an action, a target, a validity and a priority. Each comes from a small fixed set, so
that a model can be asked by scoring alternatives, every answer can be checked, and what crosses
into the control loop is numbers. Knows which targets an action takes, how a directive is spelled
for models and people, and how one is read from untrusted values. Does not know situations (what
there is to name: scene.py), transports, or how a directive is carried out (csrc/play).

A spelled directive is flat: `{"action": "retreat", "target": "compass:4", "seconds": 2,
"priority": "high"}`; targets are `entity:ID`, `pickup:ID`, `compass:BIN`, `widget:CHOICE`, `hold`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from metabonk.errors import ConfigError, CorruptError

COMPASS_BINS = 16
WIDGETS = 32
ID_MOST = 2**32 - 1
SECONDS = (0.5, 1.0, 2.0, 4.0)  # validities that may be asked for, from the capture


class Verb(enum.StrEnum):
    """What System 1 does while a directive is in force; the native loop grounds it every tick.

    move: to an entity or pickup, or in a compass direction. attack: approach, and keep the distance
    at which weapons reach; without an entity the nearest one. defend: stay at a place (where one
    is, or a pickup such as a shrine) and give way to what comes near. retreat: away from what
    threatens, to where there is room; with a target away from that entity, towards that pickup, in
    that direction. collect: the nearest of what lies around, or that pickup. explore: where one has
    not been. interact: go to a chest, shrine or portal and press interact. click: select a menu
    widget. hold: stand still.
    """

    MOVE = "move"
    ATTACK = "attack"
    DEFEND = "defend"
    RETREAT = "retreat"
    COLLECT = "collect"
    EXPLORE = "explore"
    INTERACT = "interact"
    CLICK = "click"
    HOLD = "hold"


class Priority(enum.IntEnum):
    """A lower one does not replace a directive in force. NORMAL is v1's `medium`."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


class Entity(msgspec.Struct, frozen=True, tag="entity", tag_field="kind"):
    """An enemy or its projectile, by the id of records.Entity."""

    id: int

    def __post_init__(self) -> None:
        _within("target.id", self.id, 0, ID_MOST)


class Pickup(msgspec.Struct, frozen=True, tag="pickup", tag_field="kind"):
    """Something that lies or stands around, by the id of records.Pickup."""

    id: int

    def __post_init__(self) -> None:
        _within("target.id", self.id, 0, ID_MOST)


class Compass(msgspec.Struct, frozen=True, tag="compass", tag_field="kind"):
    """A direction of the world: bin 0 is east, then counter-clockwise; 4 is north."""

    bin: int

    def __post_init__(self) -> None:
        _within("target.bin", self.bin, 0, COMPASS_BINS - 1)


class Widget(msgspec.Struct, frozen=True, tag="widget", tag_field="kind"):
    """A menu widget by its choice, 1 to 32, as records.Action.choice counts."""

    choice: int

    def __post_init__(self) -> None:
        _within("target.choice", self.choice, 1, WIDGETS)


class Hold(msgspec.Struct, frozen=True, tag="hold", tag_field="kind"):
    """No particular target: here, or whatever System 1 finds best for the action."""


Target = Entity | Pickup | Compass | Widget | Hold

# The targets that each action takes.
TARGETS: Mapping[Verb, tuple[type[Target], ...]] = {
    Verb.MOVE: (Entity, Pickup, Compass),
    Verb.ATTACK: (Hold, Entity, Compass),
    Verb.DEFEND: (Hold, Pickup),
    Verb.RETREAT: (Hold, Entity, Pickup, Compass),
    Verb.COLLECT: (Hold, Pickup, Compass),
    Verb.EXPLORE: (Hold, Compass),
    Verb.INTERACT: (Hold, Pickup),
    Verb.CLICK: (Widget,),
    Verb.HOLD: (Hold,),
}


class Directive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One directive, always within the vocabulary.

    seconds: of validity, one of SECONDS, counted from the capture of what it answers, so that of a
    late one less is left; the control loop gives it an end on its own clock. Raises ConfigError
    that names the field.
    """

    action: Verb
    target: Target = Hold()
    seconds: float = 1.0
    priority: Priority = Priority.NORMAL

    def __post_init__(self) -> None:
        allowed = TARGETS.get(self.action)
        if allowed is None:
            raise ConfigError(f"action: {self.action!r}; wanted one of {_names(Verb)}")
        if not isinstance(self.target, allowed):
            wanted = ", ".join(_noun(kind) for kind in allowed)
            raise ConfigError(
                f"target: {spell_target(self.target)}; {self.action.value} takes {wanted}"
            )
        if self.seconds not in SECONDS:
            wanted = ", ".join(f"{s:g}" for s in SECONDS)
            raise ConfigError(f"seconds: {self.seconds!r}; wanted one of {wanted}")
        if not isinstance(self.priority, Priority):
            raise ConfigError(f"priority: {self.priority!r}; wanted one of {_names(Priority)}")

    def __str__(self) -> str:
        order = spell_order(self.action, self.target)
        return f"{order}, {self.seconds:g} s, {self.priority.name.lower()}"


# What is done where nothing better is known: System 1 by itself, away from what threatens.
SAFE = Directive(Verb.RETREAT, Hold(), 1.0, Priority.LOW)

_TARGET_FIELD = {Entity: "id", Pickup: "id", Compass: "bin", Widget: "choice"}
_BY_NOUN: Mapping[str, type[Target]] = {
    "entity": Entity, "pickup": Pickup, "compass": Compass, "widget": Widget,
}  # fmt: skip


def spell_target(target: Target) -> str:
    """`entity:17`, `pickup:3`, `compass:4`, `widget:2` or `hold`."""
    if isinstance(target, Hold):
        return "hold"
    return f"{_noun(type(target))}:{getattr(target, _TARGET_FIELD[type(target)])}"


def read_target(text: str) -> Target:
    """Inverse of `spell_target`. Raises CorruptError that says what was wanted."""
    noun, colon, number = text.partition(":")
    if noun == "hold" and not colon:
        return Hold()
    # At most ten digits: int() of a long text is slow, and Python refuses very long ones oddly.
    if noun in _BY_NOUN and number.isascii() and number.isdigit() and len(number) <= 10:
        try:
            return _BY_NOUN[noun](int(number))
        except ConfigError as error:
            raise CorruptError(str(error)) from None
    raise CorruptError(
        f"target: {text[:40]!r}; wanted entity:ID, pickup:ID, compass:0-15, widget:1-32 or hold"
    )


def spell_order(action: Verb, target: Target) -> str:
    """An action with its target, as orders are named where one is chosen: `retreat compass:4`, or
    `explore` alone, without a particular target."""
    bare = isinstance(target, Hold)
    return action.value if bare else f"{action.value} {spell_target(target)}"


def spell(directive: Directive) -> dict[str, Any]:
    """A directive as the flat values that models are asked for; see the module's docstring."""
    return {
        "action": directive.action.value,
        "target": spell_target(directive.target),
        "seconds": directive.seconds,
        "priority": directive.priority.name.lower(),
    }


def read(value: object) -> Directive:
    """A directive from untrusted values: a mapping, spelled or as msgspec writes a Directive.

    `seconds` and `priority` may be absent. Other keys, such as a model's reasons, are ignored.
    Raises CorruptError that names the field, what it was and what was wanted.
    """
    if isinstance(value, Directive):
        return value
    if not isinstance(value, Mapping):
        raise CorruptError(f"directive: {_short(value)}; wanted a mapping with action and target")
    try:
        return Directive(
            _member(Verb, "action", value.get("action")),
            _target(value.get("target", "hold")),
            _seconds(value.get("seconds", 1.0)),
            _priority(value.get("priority", "normal")),
        )
    except ConfigError as error:
        raise CorruptError(str(error)) from None


def schema(targets: Iterable[Target] = ()) -> dict[str, Any]:
    """JSON schema of a spelled directive, flat and without references, for constrained decoding.

    targets: the ones that exist now; only they may then be named. None: any spelling.
    """
    spelled = [spell_target(target) for target in targets]
    if spelled:
        target: dict[str, Any] = {"type": "string", "enum": spelled}
    else:
        target = {
            "type": "string",
            "pattern": "^(hold|(entity|pickup):[0-9]{1,10}|compass:[0-9]{1,2}|widget:[0-9]{1,2})$",
        }
    return {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": [verb.value for verb in Verb]},
            "target": target,
            "seconds": {"type": "number", "enum": list(SECONDS)},
            "priority": {"type": "string", "enum": [p.name.lower() for p in Priority]},
        },
        "required": ["action", "target", "seconds", "priority"],
        "additionalProperties": False,
    }


def _target(value: object) -> Target:
    if isinstance(value, str):
        return read_target(value)
    if isinstance(value, Mapping):
        noun = value.get("kind")
        kind = _BY_NOUN.get(noun) if isinstance(noun, str) else None
        if noun == "hold":
            return Hold()
        if kind is not None:
            number = value.get(_TARGET_FIELD[kind])
            if isinstance(number, int) and not isinstance(number, bool):
                return kind(number)
    if isinstance(value, Entity | Pickup | Compass | Widget | Hold):
        return value
    raise CorruptError(f"target: {_short(value)}; wanted a text such as compass:4 or hold")


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value in SECONDS:
        return float(value)
    wanted = ", ".join(f"{s:g}" for s in SECONDS)
    raise CorruptError(f"seconds: {_short(value)}; wanted one of {wanted}")


def _priority(value: object) -> Priority:
    if isinstance(value, int) and not isinstance(value, bool) and value in list(Priority):
        return Priority(value)
    if isinstance(value, str) and value.upper() in Priority.__members__:
        return Priority[value.upper()]
    raise CorruptError(f"priority: {_short(value)}; wanted one of {_names(Priority)}")


def _member(kind: type[Verb], name: str, value: object) -> Verb:
    if isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    raise CorruptError(f"{name}: {_short(value)}; wanted one of {_names(kind)}")


def _within(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name}: {value!r}; wanted {low} to {high}")


def _noun(kind: type[Target]) -> str:
    return kind.__name__.lower()


def _names(kind: type[enum.Enum]) -> str:
    return ", ".join(str(one.name).lower() for one in kind)


def _short(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:37]}...")
    if value is None or isinstance(value, float):
        return repr(value)
    if isinstance(value, int) and abs(value) <= 1 << 64:  # Python refuses to spell very long ones
        return str(value)
    return type(value).__name__
