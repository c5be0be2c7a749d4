"""Publishing over earlier results: what would be lost is named, and nothing is written then."""

from dataclasses import replace

import pytest
from published_studies import SECTION, cell, study

from xlprompt.data import DataError
from xlprompt.studies.reports.publication.document import DocumentError, replace_sections
from xlprompt.studies.reports.publication.loss import PublicationError, refuse_loss
from xlprompt.studies.reports.published_runs import write_published

FILE = "runs.jsonl.gz"


def test_results_that_have_all_of_the_earlier_ones_replace_them(tmp_path):
    refuse_loss(tmp_path / "none", study())
    refuse_loss(tmp_path, study())
    write_published(tmp_path / FILE, study((0, 1)))
    refuse_loss(tmp_path, study((0, 1)))
    refuse_loss(tmp_path, study((0, 1, 2)))


@pytest.mark.parametrize(
    ("earlier", "lost"),
    [
        (study((0, 1, 2)), "xnli prompt, seeds 1, 2; xnli finetune, seeds 1, 2"),
        (study((0,), runs=(*study((0,)).runs, cell("head", 4))), "xnli head, seed 4"),
        (
            study((0,), sections={"ablation": SECTION, "ablation-length": SECTION}),
            "the section ablation-length",
        ),
        (
            replace(study((0,)), model="large", runs=tuple(cell(m, 0, model="large") for m in ("prompt",))),
            "results of large",
        ),
    ],
)
def test_what_would_be_lost_is_named_with_both_ways_out(tmp_path, earlier, lost):
    write_published(tmp_path / FILE, earlier)
    with pytest.raises(PublicationError) as error:
        refuse_loss(tmp_path, study((0,)))
    assert lost in str(error.value)
    assert f"--runs {tmp_path / FILE}" in str(error.value)
    assert "--replace" in str(error.value)


def test_a_report_without_its_runs_and_damaged_runs_are_not_replaced_unasked(tmp_path):
    (tmp_path / "report.md").write_text("# Report\n")
    with pytest.raises(PublicationError, match="a report without its runs"):
        refuse_loss(tmp_path, study())
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(DataError, match=FILE):
        refuse_loss(tmp_path, study())


def test_a_document_stays_as_it_is_where_the_rest_cannot_be_written(tmp_path):
    document = tmp_path / "README.md"
    document.write_text("<!-- a begin -->\nold\n<!-- a end -->\n")

    def full() -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_sections(document, {"a": "new\n"}, at_once=full)
    assert "old" in document.read_text()
    assert list(tmp_path.iterdir()) == [document]
    document.write_bytes(b"\xff")
    with pytest.raises(DocumentError, match="not in UTF-8"):
        replace_sections(document, {"a": "new\n"})
