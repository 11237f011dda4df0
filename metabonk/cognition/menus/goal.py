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
# Letters by their shapes alone, for telling what a text could be taken for: capitals and small ones
# apart, as a capital may look like another letter than its small one does.
_LETTERS = (
    # Cyrillic
    ("\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425", "abekmhopctyx"),
    ("\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445", "abekmhopctyx"),
    ("\u0406\u0405\u0408\u051a\u051c\u04ba\u04ae\u0500\u050c\u04c0", "isjqwhydgl"),
    ("\u0456\u0455\u0458\u051b\u051d\u04bb\u04af\u0501\u050d\u04cf", "isjqwhydgl"),
    # Greek
    (
        "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
        "abezhikmnoptyx",
    ),
    (
        "\u03b1\u03b2\u03b3\u03b5\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
        "abyenikuvoptux",
    ),
    # Armenian
    ("\u0555\u054d\u053c\u054f\u0585\u057d\u0578\u0581\u0570\u0575\u0566", "oulsounghjq"),
    # Cherokee
    ("\u13a0\u13a1\u13a2\u13a5\u13a9\u13aa\u13ab\u13ac\u13b3\u13b7", "drtiyajewm"),
    ("\u13bb\u13c3\u13c6\u13d9\u13da\u13de\u13df\u13e2\u13e6\u13f4", "hzivslcpkb"),
    # Lisu
    ("\ua4ee\ua4d0\ua4da\ua4d3\ua4f0\ua4dd\ua4d6\ua4e7\ua4f2\ua4d9\ua4d7\ua4e1", "abcdefghijkl"),
    ("\ua4df\ua4e0\ua4f3\ua4d1\ua4e3\ua4e2\ua4d4\ua4f4\ua4e6\ua4ea\ua4eb\ua4ec", "mnoprstuvwxy"),
    # Latin without a dot, with a tail or a stroke, and as small capitals
    (
        "\u0131\u0237\u01eb\u00f8\u0111\u0142\u0167\u0127\u0268\u0247\u0180\u0289\u024f\u0251",
        "ijqodlthiebuya",
    ),
    (
        "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d",
        "abcdefghijklm",
    ),
    ("\u0274\u1d0f\u1d18\ua7af\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22", "nopqrstuvwyz"),
)
_SHAPES = {
    **{ord(seen): letter for some, as_ in _LETTERS for seen, letter in zip(some, as_, strict=True)},
    # Letters in dark circles, in dark squares and of flags.
    **{first + i: chr(97 + i) for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)},
}
_ALIKE = str.maketrans("i10", "llo")  # a capital I, a small l and the digit, likewise O and 0
# Scripts that have letters of each other's shapes; no honest word is written in two of them.
_DRESSES = frozenset(["LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE", "LISU"])


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


def shapes_of(text: str) -> tuple[str, ...]:
    """The words of a text as an eye would take them for Latin ones: whatever their script, without
    marks, with `l` for i, 1 and l and `o` for 0. Only to be compared with `shapes_of` others."""
    # Some letters fall apart into a letter and a mark, others exist as capitals only.
    apart = unicodedata.normalize("NFKD", text.translate(_SHAPES))
    shown = "".join(_seen(c) for c in apart)
    return tuple(
        _WORD.findall(shown.translate(_SHAPES).casefold().translate(_SHAPES).translate(_ALIKE))
    )


def dressed_in(text: str) -> frozenset[str]:
    """The words of a text whose letters are from scripts that look alike, mixed."""
    shown = "".join(_seen(c) for c in unicodedata.normalize("NFKD", text)).casefold()
    return frozenset(word for word in _WORD.findall(shown) if len(_scripts(word)) > 1)


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


def _seen(character: str) -> str:
    """As `_gap`, and nothing for marks above, below and through letters."""
    kind = unicodedata.category(character)
    return "" if kind in ("Mn", "Me") else _gap(character) if kind[0] == "C" else character


def _scripts(word: str) -> frozenset[str]:
    """The scripts of a word's letters, of those that look alike."""
    return _DRESSES & {unicodedata.name(letter, "").split(" ", 1)[0] for letter in word}
