"""What the menu navigator is to reach, in words: read once, never from the screen.

Knows how a goal such as "Start Tier 3 run with Calcium" becomes words and numbers, and how texts of
a screen are compared with them. Does not know screens or what is pressed. A `Goal` is frozen and
made from settings alone: nothing that a game shows can add to it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from metabonk.errors import ConfigError

MOST_CHARACTERS = 500

# Words that say how to go on but not where to.
_PLAIN = frozenset(
    word
    for line in (
        "a an and again another any as at be begin by character class choose click do enter for",
        "from game get go hero i in into is it lets level map match menu my new of on open pick",
        "play please press reach run running select stage start starting started switch take tap",
        "the then this tier to until use using want we whatever with world you your main screen",
        "button",
    )
    for word in line.split()
)
_NOUNS = "tier|map|stage|level|world|difficulty|act|chapter|slot"
_APART = frozenset(["slot"])  # counts something else than the other nouns do
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8, "ix": 9}
_NUMBER = r"(\d{1,3}|" + "|".join(sorted(_ROMAN, key=len, reverse=True)) + r")"
_NUMBERED = re.compile(rf"\b({_NOUNS})\s*[#:]?\s*{_NUMBER}(?!\w)")
# "Glacier (3)", "Glacier 3" and "3": a number at the end, or alone; not "Top 3 players".
_LAST_NUMBER = re.compile(rf"(?:^|[\s(#]){_NUMBER}\s*[)\]]?\s*\Z")
_WORD = re.compile(r"[^\W_]+")
# Letters of other scripts that look like Latin ones: with them a text could dress up.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0441\u0440\u0445\u0443\u0456\u0455\u0458"
    "\u03ba\u03bd\u03bf\u03b1\u03b5\u03c4\u03b9",
    "aeocpxyisjkvoaeti",
)


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """A text as it is compared: compatible forms, no case, no invisible characters, one space
    between words."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_LOOKALIKES)
    shown = (c if unicodedata.category(c)[0] != "C" else _gap(c) for c in folded)
    return " ".join("".join(shown).split())


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, as `plain` has them."""
    return tuple(_WORD.findall(plain(text)))


def number_of(text: str) -> int | None:
    """The number that a text ends with or consists of, roman ones included; None for no such."""
    found = _LAST_NUMBER.search(plain(text))
    return _value(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Goal:
    """words: that should be chosen somewhere on the way, without those that every goal has.
    numbers: (noun, number) likewise, as ("tier", 3)."""

    text: str
    words: tuple[str, ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, text: str) -> Goal:
        """A goal from the words of a setting; "" wants a running game, whichever.

        Raises ConfigError for one that is too long or holds control characters.
        """
        if len(text) > MOST_CHARACTERS:
            raise ConfigError(
                f"menu.goal: {len(text)} characters; give a sentence of at most {MOST_CHARACTERS}"
            )
        if any(unicodedata.category(c) == "Cc" for c in text):
            raise ConfigError("menu.goal: it holds control characters; give one line of text")
        compared = plain(text)
        numbers = tuple((noun, _value(n)) for noun, n in _NUMBERED.findall(compared))
        rest = _WORD.findall(_NUMBERED.sub(" ", compared))
        words = tuple(dict.fromkeys(w for w in rest if w not in _PLAIN))
        return cls(text.strip(), words, numbers)

    @classmethod
    def of(cls, text: str) -> Goal:
        """A goal from words that another process sent: as `read`, but what is too much is cut."""
        kept = "".join(c if unicodedata.category(c) != "Cc" else " " for c in text)
        return cls.read(kept[:MOST_CHARACTERS])

    @property
    def terms(self) -> tuple[str, ...]:
        """Everything that has to be chosen, as texts: words, then `tier 3`."""
        return (*self.words, *(f"{noun} {number}" for noun, number in self.numbers))

    def found_in(self, text: str) -> tuple[str, ...]:
        """The terms that a text of the screen names."""
        words, last = set(words_of(text)), number_of(text)
        named = [w for w in self.words if w in words]
        numbered = [(noun, _value(n)) for noun, n in _NUMBERED.findall(plain(text))]
        for noun, number in self.numbers:
            # "Glacier (3)" and "Stage 3" may be what is meant by tier 3, a slot never is.
            bare = last == number and not numbered
            if bare or any(n == number and _alike(noun, other) for other, n in numbered):
                named.append(f"{noun} {number}")
        return tuple(named)


def _alike(noun: str, other: str) -> bool:
    return noun == other or not _APART & {noun, other}


def _value(number: str) -> int:
    return int(number) if number.isdigit() else _ROMAN[number]


def _gap(character: str) -> str:
    """A space for line breaks and tabs, nothing for what cannot be seen."""
    return " " if character.isspace() else ""
