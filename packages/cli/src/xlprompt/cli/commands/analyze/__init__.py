"""`xlprompt analyze`: questions to what runs have left in the store; each is a command of its own.

`xlprompt analyze NAME` lives in the module `NAME` and is imported when it is asked for.
"""

from __future__ import annotations

import click

from xlprompt.cli.groups import Commands

ANALYSES = ("ablation", "alignment", "tokenization", "granularity")


class _Analyses(Commands):
    names = ANALYSES
    prefix = "analyze."


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
