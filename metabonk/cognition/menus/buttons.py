"""What buttons say: the words that lead on, back, aside, or to what cannot be taken back.

Knows words of menus and how much a text says that it leads to a running game. Does not know goals'
terms, screens or what was pressed before.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

from metabonk.cognition.menus.goal import dressed_in, shapes_of, words_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# On towards a running game.
FORWARD = _words(
    "play start begin continue next confirm ok okay yes go ready resume retry again accept proceed "
    "new launch enter done fight deploy skip close"
)
SHORTCUT = _words("quick random instant last recent daily surprise")  # past what one could choose
MORE = _words("next more page scroll")
BACK = _words("back cancel return no previous decline leave")
ASIDE = _words(
    "settings options option credits achievements leaderboard leaderboards statistics stats help "
    "about language news discord twitter feedback codex gallery profile controls audio video "
    "graphics wishlist collection quests tutorial multiplayer online friends invite join host "
    "mods unlocks challenges patch notes store terms privacy"
)
# What cannot be taken back.
GUARDED = _words(
    "quit exit delete erase wipe reset remove surrender abandon forfeit buy purchase pay unlock "
    "uninstall logout overwrite sell spend donate subscribe desktop"
)
SENTENCE = 5  # words from which on a text is no button's
GUARDED_PAIRS = frozenset(
    [("give", "up"), ("log", "out"), ("sign", "out"), ("end", "run"), ("clear", "data")]
)
# By their shapes, pairs also as one word: what looks like it is it.
_MEANT = {shapes_of(word)[0]: word for word in GUARDED} | {
    shapes_of("".join(pair))[0]: " ".join(pair) for pair in GUARDED_PAIRS
}


@lru_cache(maxsize=4096)
def guarded(text: str) -> frozenset[str]:
    """The guarded words of a text, pairs as `give up`: whatever looks like one, letters that stand
    apart as one word. A word in letters of several scripts is guarded, too, as it stands."""
    words = shapes_of(text)
    runs = itertools.groupby(words, key=lambda word: len(word) == 1)
    apart = ("".join(run) for single, run in runs if single)  # "Q u i t"
    pairs = map("".join, itertools.pairwise(words))
    said = (_MEANT.get(word) for word in itertools.chain(words, apart, pairs))
    return dressed_in(text) | {word for word in said if word is not None}


@lru_cache(maxsize=4096)
def aside(text: str) -> frozenset[str]:
    """The words of a text that lead away from a game, to settings and the like."""
    return ASIDE.intersection(words_of(text))


@lru_cache(maxsize=4096)
def leads(text: str, hurry: bool, looking: bool, astray: bool) -> float:
    """How much a text says that it leads to a running game: 2.5 at best, 0 where it says nothing.

    hurry: nothing is left to be chosen, so that shortcuts are welcome. looking: what is to be
    chosen has not been seen on this screen, another page may have it. astray: this screen is not on
    the way, so that the way back is the way on.
    """
    words = words_of(text)
    said = set(words)
    score = 0.0
    if said & FORWARD:
        score = -2.0 if astray else 2.0
    back = bool(said & BACK) or words in (("main", "menu"), ("menu",))
    if said & MORE and looking and not back:
        score = max(score, 2.0) + 0.5
    if said & SHORTCUT:
        score += 0.5 if hurry else -5.0
    if back:
        score += 4.0 if astray else -3.0
    if said & ASIDE:
        score -= 4.0
    return score - (1.0 if len(words) >= SENTENCE else 0.0)
