"""`metabonk`: finds the verb and reports errors in one line. Knows the verbs by name only.

To add a verb: write `metabonk/cli/<verb>.py` with a Typer `app` of one command, and give it a row
in `VERBS`. Nothing else is imported for `--help`, so that it answers at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

import typer

import metabonk
from metabonk.errors import MetabonkError

# verb -> (one line of help, panel in `metabonk --help`)
VERBS = {
    "train": ("Learn a game and show what was learned.", "Learn"),
    "pretrain": ("Learn from what was recorded.", "Learn"),
    "eval": ("Measure what a run learned against random and scripted play.", "Learn"),
    "ablate": ("Take each part that learns beside a policy away, and see what that does.", "Learn"),
    "compile": ("Make one native call of what a run learned, for playing without Torch.", "Learn"),
    "dream": ("Show what a run's world model dreams, beside what really happens.", "Look"),
    "play": ("Play a game yourself, or watch a policy play it.", "Look"),
    "record": ("Record a game that is played, as episodes and .npz files.", "Look"),
    "replay": ("Check a recorded game and watch it again.", "Look"),
    "why": ("Say where one tick's action of a live session came from.", "Look"),
    "strips": (
        "Show the strips that System 2 sees of a game, and measure who draws the next frames best.",
        "System 2",
    ),
    "host": ("Run a game as a process that agents play.", "Look"),
    "games": ("List the games and what is missing to play them.", "Look"),
    "serve": ("Run the cognitive server, or a model server for it.", "System 2"),
    "keys": ("Key pairs, for agents and a cognitive server on different machines.", "System 2"),
    "cognition": ("Data sets and small policies from the log of System 2's decisions.", "System 2"),
    "monitor": ("Show how System 2 is doing.", "System 2"),
    "doctor": ("Show what this machine offers and what to do about what is missing.", "Set up"),
    "plugins": ("Put our plugins into the real game's folder.", "Set up"),
    "config": ("Show every setting, where it can be set and what it means.", "Set up"),
    "soak": ("Run the cognitive server and agents for minutes while things go wrong.", "Set up"),
    "bench": ("Measure speed against other systems.", "Set up"),
    "validate": ("Run what claims rest on, and show what is kept of it.", "Set up"),
}

EPILOG = (
    "Start here:  [bold]metabonk train[/]  learns the built-in arena in minutes and writes a "
    "report.  [bold]metabonk play --human[/]  lets you play it.  "
    "[bold]metabonk VERB --help[/]  explains a verb with examples."
)

app = typer.Typer(
    name="metabonk",
    help="Train, run and watch agents for fast games.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"metabonk {metabonk.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show where an error came from."),
) -> None:
    """Train, run and watch agents for fast games."""


def _forward(verb: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        module = importlib.import_module(f"metabonk.cli.{verb}")
        code = module.app(args=context.args, prog_name=f"metabonk {verb}", standalone_mode=False)
        if code:
            raise typer.Exit(code)

    return command


for _verb, (_help, _panel) in VERBS.items():
    app.command(
        _verb,
        help=_help,
        rich_help_panel=_panel,
        add_help_option=False,  # the verb's own app answers it
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_forward(_verb))


def run(
    arguments: Sequence[str] | None = None,
    meant: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> None:
    """Runs the command line and exits: 0 done, 1 a check failed, 2 an error, 130 Ctrl-C. meant:
    makes another command line of the words, for scripts that are one of the verbs."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        words = words if meant is None else list(meant(words))
        app(args=words, prog_name="metabonk")
    except (MetabonkError, OSError) as error:
        if debug:
            raise
        from metabonk.cli.output import error_line

        error_line(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
