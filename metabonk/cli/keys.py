"""`metabonk keys`: key pairs for agents and servers on different machines."""

from __future__ import annotations

from pathlib import Path

import typer

from metabonk.cli.output import JsonFlag, console, print_json

HELP = """Key pairs, for agents and a cognitive server on different machines.

Each machine makes its own; only the .pub files travel. The server's list of agents
(TOML) says which public key may use which name; * stands for any end of a name:

\b
    [agents]
    "omega-0" = "the text in omega-0.pub"
    "night-*" = ["one key", "another"]

\b
$ metabonk keys new broker --dir ~/.metabonk
$ metabonk serve cognitive --bind tcp://0.0.0.0:5555 --key broker.key \\
      --allow allow.toml"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help=HELP)
def _group() -> None:
    """Keeps `new` a word of its own."""


@app.command()
def new(
    name: str = typer.Argument(help="Of the agent, or broker.", metavar="NAME"),
    folder: Path = typer.Option(Path("."), "--dir", help="Where they go.", metavar="DIR"),
    json: bool = JsonFlag,
) -> None:
    """Make NAME.key, which stays on this machine, and NAME.pub, which the other end gets."""
    from metabonk.cognition.protocol import keys

    secret, public = keys.new(name, folder)
    key = keys.read_public(public)
    if json:
        print_json({"secret": str(secret), "public": str(public), "key": key})
        return
    console.print(f"{secret}  secret, readable by you alone: it stays here", soft_wrap=True)
    console.print(f"{public}  public, for the other end:", soft_wrap=True)
    console.print(f"  {key}", markup=False, soft_wrap=True)
