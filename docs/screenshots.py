"""The documentation's pictures of terminal, MLflow, report and site: `make screenshots`.

Runs a run and a small study of the mini world in a temporary folder, in a terminal of 80 columns, and opens
what they leave in Chromium. The report is of the published runs. `make screenshots ARGS=report` makes one
kind anew: `runs` (terminal and MLflow), `report` or `site`.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from pictured_terminal import COLUMNS, draw, screen_of
from PIL import Image
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images"
PUBLISHED = ROOT / "experiments" / "results" / "gemma" / "runs.jsonl.gz"

sys.path.insert(0, str(ROOT / "tests" / "support"))

from browsers import open_browser, wait_for, wait_for_text, why_no_browser  # noqa: E402
from documents import make_checkout, xlprompt_calls  # noqa: E402

XLPROMPT = (sys.executable, "-c", "from xlprompt.cli.main import main; main()")
RUN = "make xnli-prompt"
STUDY = (
    "make all-tasks TASKS=xnli METHODS=prompt,finetune SEEDS=2 ENGINE=torch "
    'ARGS="--set schedule.steps=300 --set data.test_limit=200"'
)
FIRST_ROWS, LAST_ROWS = 14, 48  # of what a terminal has shown; those between are left out
ASSISTANT = "mlflow.assistant.chat_panel.close"  # hides a third of the window
BANNER = "mlflow.experiment_page.shared_view.dismiss"
SIZE = (1280, 800)
AT_MOST = 150_000  # bytes of a picture
COLORS = (256, 128, 64)


def picture_runs(folder: Path) -> None:
    """A run and a study in the terminal, and in MLflow."""
    checkout = folder / "xlprompt"
    checkout.mkdir()
    make_checkout(checkout)
    for name, command in (("run", RUN), ("study", STUDY)):
        (call,) = xlprompt_calls(command, checkout)
        rows = screen_of((*XLPROMPT, *call), checkout)
        if len(rows) > FIRST_ROWS + LAST_ROWS:
            rows[FIRST_ROWS:-LAST_ROWS] = [Text("⋮", "dim")]
        lines = textwrap.wrap(f"$ {command}", COLUMNS)
        _draw([*(Text(line, "bold green") for line in lines), *rows], f"terminal-{name}")
    with _ui(checkout) as address, _browser(folder) as browser:
        browser.get(address)
        _press(browser, ASSISTANT)
        _press(browser, BANNER)
        for number in (0, 1):  # a parent's row has one button, which shows its seeds
            wait_for(browser, f"return document.querySelectorAll('.ag-row button')[{number}]").click()
        shown = (
            "new Set([...document.querySelectorAll('.ag-row')].map(row => row.getAttribute('row-id'))).size"
        )
        wait_for(browser, f"return {shown} === 7")  # a run, two parents, their four seeds
        _photograph(browser, "mlflow-list")
        run = _alone(checkout)
        browser.get(address.replace("/runs?", f"/runs/{run}?"))
        wait_for_text(browser, "score/zero_shot", "zero-shot mean")
        _photograph(browser, "mlflow-run")


def picture_report(folder: Path) -> None:
    """The first screen of the report on the published runs of the real model."""
    command = (*XLPROMPT, "report", "--runs", str(PUBLISHED), "--out", str(folder / "report"))
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with _browser(folder) as browser:
        browser.get((folder / "report" / "report.html").as_uri())
        wait_for(browser, "return [...document.images].every(image => image.complete)")
        _photograph(browser, "report")


def picture_site(folder: Path) -> None:
    """The first screen of the site."""
    site = folder / "site"
    subprocess.run([sys.executable, "-m", "sphinx", "--quiet", "docs", str(site)], cwd=ROOT, check=True)
    with _browser(folder) as browser:
        browser.get((site / "index.html").as_uri())
        wait_for_text(browser, "xlprompt")
        _photograph(browser, "site")


KINDS: dict[str, Callable[[Path], None]] = {
    "runs": picture_runs,
    "report": picture_report,
    "site": picture_site,
}


@contextmanager
def _browser(folder: Path) -> Iterator:
    """Chromium with a window of `SIZE`."""
    with open_browser(Path(tempfile.mkdtemp(dir=folder))) as browser:
        metrics = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield browser


@contextmanager
def _ui(checkout: Path) -> Iterator[str]:
    """`make ui`, and the address of the list of XNLI's runs that it prints."""
    server = subprocess.Popen(
        (*XLPROMPT, "ui"), cwd=checkout, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        for line in server.stdout or ():
            if found := re.search(r"runs of xnli: (\S+)", line):
                yield found[1]
                break
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def _press(browser, button: str) -> None:
    """Press a button of MLflow's by the name that it gives it."""
    wait_for(browser, f"return document.querySelector('[data-component-id=\"{button}\"]')").click()


def _alone(checkout: Path) -> str:
    """The id of the run that is no study's."""
    listed = subprocess.run(
        (*XLPROMPT, "runs", "--json"), cwd=checkout, check=True, capture_output=True, text=True
    )
    return min(json.loads(listed.stdout), key=lambda run: run["started"])["run"]


def _draw(rows: list[Text], name: str) -> None:
    path = PICTURES / f"{name}.svg"
    draw(rows, path)
    _report(path)


def _photograph(browser, name: str) -> None:
    """The window as PNG, with as many colors as `AT_MOST` allows."""
    path = PICTURES / f"{name}.png"
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    for colors in COLORS:
        picture.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < AT_MOST:
            break
    _report(path)


def _report(path: Path) -> None:
    size = path.stat().st_size
    if size >= AT_MOST:
        raise click.ClickException(
            f"{path}: {size:,} bytes; a picture of the documents has less than {AT_MOST:,}"
        )
    click.echo(f"{path.relative_to(ROOT)}  {size:,} bytes")


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(list(KINDS)))
def main(kinds: tuple[str, ...]) -> None:
    """Make the documents' pictures: all, or those of some KINDS."""
    if reason := why_no_browser():
        raise click.ClickException(reason)
    os.environ.update(USER="you", LOGNAME="you")  # MLflow shows who began a run
    # So that commands are named as they are where the environment is activated.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for kind in kinds or KINDS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["XLPROMPT_CACHE"] = str(Path(folder) / "cache")  # a newcomer's is empty
            KINDS[kind](Path(folder))


if __name__ == "__main__":
    main()
