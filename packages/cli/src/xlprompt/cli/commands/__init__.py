"""The commands of `xlprompt`, one a file; `xlprompt.cli.main` imports the one that is asked for."""
