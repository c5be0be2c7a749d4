"""The command `xlprompt`: one click command per file of `commands`, found by `xlprompt.cli.main`.

Nothing is computed here. A command reads its arguments, calls the package that does the work, and prints what
came of it: tables for people, or JSON alone on standard output with `--json`.
"""

__all__: list[str] = []
