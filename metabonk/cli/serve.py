"""`metabonk serve`: the processes around the game, each imported when it is asked for.

To add one: write `metabonk/cli/serve_<name>.py` with a Typer `app` of one command, and a row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import typer

# name -> one line of help
SERVICES = {
    "cognitive": "The cognitive server: one model for many agents, every decision recorded once.",
    "vlm": "A model server (SGLang or vLLM) in an environment of its own, watched and restarted.",
}

app = typer.Typer(
    help="""Run the cognitive server, or a model server for it.

$ metabonk serve cognitive                   rules answer, nothing is needed
$ metabonk serve vlm --print > vlm.toml      settings, to be edited
$ metabonk serve vlm --config vlm.toml
$ metabonk serve cognitive --set backend.chain=openai""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _forward(name: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        module = importlib.import_module(f"metabonk.cli.serve_{name}")
        words, title = context.args, f"metabonk serve {name}"
        code = module.app(args=words, prog_name=title, standalone_mode=False)
        if code:
            raise typer.Exit(code)

    return command


for _name, _help in SERVICES.items():
    app.command(
        _name,
        help=_help,
        add_help_option=False,  # the service's own app answers it
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_forward(_name))
