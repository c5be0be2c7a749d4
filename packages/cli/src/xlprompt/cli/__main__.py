"""`python -m xlprompt.cli`, which launchers of many processes run."""

from xlprompt.cli.main import main

if __name__ == "__main__":
    main(prog_name="xlprompt")
