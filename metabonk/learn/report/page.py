"""The page of a run's report: HTML with everything inside, for light and dark screens.

Knows HTML and CSS; does not know runs, metrics or matplotlib. Nothing on it comes from elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root { color-scheme: light dark;
  --paper:#f7f8fa; --card:#ffffff; --ink:#1c2126; --soft:#69727c; --line:#e3e7ec;
  --policy:#1f6feb; --dreamer:#7c5cd6; --scripted:#b7791f; --random:#8a94a0;
  --good:#1a7f4b; --bad:#b3382c;
  --seg0:#1f6feb; --seg1:#7c5cd6; --seg2:#d9822b; --seg3:#2f9e8f; --seg4:#c2556b; --seg5:#9aa4b0; }
@media (prefers-color-scheme: dark) { :root {
  --paper:#0f1317; --card:#171c22; --ink:#e8ecf0; --soft:#98a2ad; --line:#2a323b;
  --policy:#5b9dff; --dreamer:#a78bfa; --scripted:#e0a848; --random:#8a96a3;
  --good:#4cc38a; --bad:#f0776a;
  --seg0:#5b9dff; --seg1:#a78bfa; --seg2:#f0a45d; --seg3:#4fc4b2; --seg4:#e8839a;
  --seg5:#66717d; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--paper); color:var(--ink);
  font:16px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,sans-serif; }
main { max-width:1040px; margin:0 auto; padding:44px 24px 72px; }
header .over { color:var(--soft); font-size:14px; letter-spacing:.02em; }
h1 { font-size:38px; line-height:1.15; letter-spacing:-.022em; margin:6px 0 10px; font-weight:680; }
.lead { font-size:20px; line-height:1.5; max-width:46em; margin:0 0 28px; text-wrap:pretty; }
.lead b.policy { color:var(--policy); } .lead b.dreamer { color:var(--dreamer); }
.lead b.scripted { color:var(--scripted); }
h2 { font-size:18px; letter-spacing:-.01em; margin:0 0 4px; font-weight:640; }
.hint { color:var(--soft); font-size:14px; margin:0 0 12px; }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(200px,1fr)); gap:14px;
  margin-bottom:14px; }
.tile, section { background:var(--card); border:1px solid var(--line); border-radius:14px; }
.tile { padding:16px 18px; }
.tile .name { color:var(--soft); font-size:13.5px; }
.tile .value { font-size:29px; font-weight:660; letter-spacing:-.02em;
  font-variant-numeric:tabular-nums; line-height:1.3; }
.tile .detail { color:var(--soft); font-size:13.5px; font-variant-numeric:tabular-nums; }
.good { color:var(--good); } .bad { color:var(--bad); }
section { padding:22px 24px; margin-top:14px; min-width:0; }
.two { display:grid; grid-template-columns:minmax(0,9fr) minmax(0,11fr); gap:14px; }
@media (max-width:820px) { .two { grid-template-columns:minmax(0,1fr); } h1 { font-size:30px; } }
video, .film img { width:100%; border-radius:10px; display:block; background:#000;
  image-rendering:pixelated; }
.figure { overflow-x:auto; }
@media (max-width:820px) { .figure svg { min-width:540px; } }
svg { display:block; height:auto; max-width:100%; }
svg text { font-family:inherit !important; }
.bar { display:flex; height:26px; border-radius:8px; overflow:hidden; gap:2px; margin:10px 0 14px; }
.bar i { display:block; min-width:2px; }
.legend { display:flex; flex-wrap:wrap; gap:6px 22px; font-size:14px;
  font-variant-numeric:tabular-nums; }
.legend span::before { content:""; display:inline-block; width:10px; height:10px;
  border-radius:3px; margin-right:8px; background:var(--c); }
.legend em { color:var(--soft); font-style:normal; margin-left:6px; }
table { border-collapse:collapse; width:100%; font-size:14.5px; }
td { padding:6px 14px 6px 0; border-top:1px solid var(--line); vertical-align:top; }
tr:first-child td { border-top:0; } td:first-child { white-space:nowrap; }
td.soft, .soft { color:var(--soft); }
code, pre { font:13.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; }
pre { overflow-x:auto; background:var(--paper); border:1px solid var(--line);
  border-radius:9px; padding:12px 14px; margin:10px 0 0; }
details summary { cursor:pointer; color:var(--soft); font-size:14px; margin-top:12px; }
ul { margin:6px 0 0; padding-left:20px; }
"""


@dataclass(frozen=True)
class Tile:
    """A figure that stands out. tone: `good`, `bad` or empty."""

    name: str
    value: str
    detail: str
    tone: str = ""


@dataclass(frozen=True)
class Share:
    """A part of the time. seconds: spent; fraction: of the whole."""

    name: str
    seconds: float
    fraction: float


@dataclass
class Page:
    """What the page shows, top to bottom. Texts are plain unless a comment says HTML.

    Figures are SVG elements, empty where there is nothing to draw.
    """

    title: str
    over: str  # the line above the title
    lead: str  # HTML: the result in a sentence
    tiles: Sequence[Tile]
    film: tuple[str, bytes] | None = None  # media type and bytes
    film_title: str = ""
    film_caption: str = ""
    players: str = ""
    curve: str = ""
    curve_hint: str = ""
    shares: Sequence[Share] = ()
    shares_hint: str = ""
    losses: str = ""
    changed: Sequence[tuple[str, str, str]] = ()  # key, value, meaning
    settings: str = ""
    machine: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()  # what for, command
    notes: Sequence[str] = field(default_factory=list)


def render(page: Page) -> str:
    """The whole document."""
    body = "\n".join(part for part in _parts(page) if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(page.title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _parts(page: Page) -> Iterable[str]:
    yield (
        f'<header><div class="over">{escape(page.over)}</div><h1>{escape(page.title)}</h1>'
        f'<p class="lead">{page.lead}</p></header>'
    )
    yield f'<div class="tiles">{"".join(_tile(t) for t in page.tiles)}</div>'
    if page.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in page.notes)
        yield _section("Worth knowing", "", f"<ul>{items}</ul>")
    film, players = _film(page), _players(page)
    yield f'<div class="two">{film}{players}</div>' if film and players else film + players
    if page.curve:
        yield _section("How it learned", page.curve_hint, _figure(page.curve))
    if page.shares:
        yield _section("Where the time went", page.shares_hint, _bar(page.shares))
    if page.losses:
        yield _section("Inside the learner", "", _figure(page.losses))
    yield _settings(page)
    if page.commands:
        rows = "".join(
            f'<p class="hint" style="margin:12px 0 0">{escape(what)}</p>'
            f"<pre>{escape(command)}</pre>"
            for what, command in page.commands
        )
        yield _section("Go on from here", "", rows)
    if page.machine:
        yield _section("Where this was made", "", _table((k, v, "") for k, v in page.machine))


def _section(title: str, hint: str, content: str) -> str:
    said = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>"


def _figure(svg: str) -> str:
    return f'<div class="figure">{svg}</div>'


def _tile(tile: Tile) -> str:
    return (
        f'<div class="tile"><div class="name">{escape(tile.name)}</div>'
        f'<div class="value {tile.tone}">{escape(tile.value)}</div>'
        f'<div class="detail">{escape(tile.detail)}</div></div>'
    )


def _film(page: Page) -> str:
    if page.film is None:
        return ""
    kind, data = page.film
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    if kind.startswith("video/"):
        media = f'<video src="{source}" autoplay loop muted playsinline controls></video>'
    else:
        media = f'<div class="film"><img src="{source}" alt="An evaluation episode"></div>'
    return _section(page.film_title, page.film_caption, media)


def _players(page: Page) -> str:
    if not page.players:
        return ""
    hint = "One dot per evaluation episode; the diamond is the mean with its 95 % interval."
    return _section("Against the others", hint, _figure(page.players))


def _bar(shares: Sequence[Share]) -> str:
    parts = "".join(
        f'<i style="width:{100 * s.fraction:.2f}%;background:var(--seg{i % 6})"></i>'
        for i, s in enumerate(shares)
    )
    legend = "".join(
        f'<span style="--c:var(--seg{i % 6})">{escape(s.name)}'
        f"<em>{100 * s.fraction:.0f} % · {s.seconds:.1f} s</em></span>"
        for i, s in enumerate(shares)
    )
    return f'<div class="bar">{parts}</div><div class="legend">{legend}</div>'


def _settings(page: Page) -> str:
    if page.changed:
        content = _table((f"<code>{escape(k)}</code>", v, m) for k, v, m in page.changed)
        hint = "What differs from the defaults."
    else:
        content, hint = "", "All settings are the defaults."
    whole = f"<details><summary>All settings</summary><pre>{escape(page.settings)}</pre></details>"
    return _section("Settings", hint, content + (whole if page.settings else ""))


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    """The first cell is HTML, the others are text."""
    cells = (
        f'<tr><td>{name}</td><td>{escape(value)}</td><td class="soft">{escape(more)}</td></tr>'
        for name, value, more in rows
    )
    return f"<table>{''.join(cells)}</table>"
