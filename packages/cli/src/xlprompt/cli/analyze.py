"""`xlprompt analyze`: questions to what runs have left in the store; each is a command of its own.

`xlprompt analyze NAME` lives in the module `analyze_NAME` and is imported when it is asked for.
"""

from __future__ import annotations

import importlib

import click

ANALYSES = ("ablation", "alignment", "tokenization", "granularity")


class _Analyses(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ANALYSES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ANALYSES:
            return None
        command: click.Command = importlib.import_module(f"xlprompt.cli.analyze_{cmd_name}").command
        return command


@click.group("analyze", cls=_Analyses, short_help="Ask what stored runs say about a question.")
def command() -> None:
    """Answer questions about what a study has found; answers are kept in the MLflow store.

    \b
    Examples:
      xlprompt analyze alignment --sweep
      xlprompt analyze ablation experiments/ablations/scheme.yaml
      xlprompt analyze tokenization --model xglm-nano --data mini
      xlprompt analyze granularity experiments/granularity/mini.yaml
    """
