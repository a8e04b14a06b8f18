"""A comparison as Markdown with GitHub's tables, to paste into an issue, a pull request or a notebook."""

import html
import re
from collections.abc import Sequence

from ctkd_study.analysis import Across, Comparison, Replay
from ctkd_study.records import Provenance
from ctkd_study.report import across, bill, columns, how_it_was_run
from ctkd_study.report import replays as replayed
from ctkd_study.report.headline import headline
from ctkd_study.report.literature import published_notes
from ctkd_study.report.notes import failures, notes
from ctkd_study.report.sentence import basis, sentence
from ctkd_study.safe_text import visible


def document(comparison: Comparison, replays: Sequence[Replay] = (), provenance: Provenance | None = None) -> str:
    """Return question, remarks, sentence, tables and notes. Whatever comes from a study is escaped.

    Args:
        replays: of the grids.
        provenance: how the study was run.
    """
    question = comparison.question
    warnings = "\n".join(f"- Warning: {escape(remark.text)}" for remark in comparison.remarks)
    lines = "\n".join(f"- **{escape(line.claim)}.** {escape(line.details)}" for line in headline(comparison))
    said = f"**{escape(sentence(comparison))}**"
    parts = [
        f"## {escape(question.study)}",
        escape(question.text),
        warnings,
        *([lines, escape(basis(comparison))] if lines else [said]),
    ]
    for part in ("accuracy", "cost"):
        parts += _captioned(columns.table(comparison, part, "wide"))
    for each in bill.tables(comparison):
        parts += _captioned(each)
    if replays:
        parts += _captioned(replayed.table(comparison, replays))
    parts += _captioned(columns.table(comparison, "worst", "wide"))
    found = (*failures(comparison), *notes(comparison), *replayed.notes(replays), *published_notes(comparison))
    parts.append("\n".join(f"- {escape(note)}" for note in found))
    if provenance is not None:
        rows = how_it_was_run.rows(comparison, provenance)
        parts += ["### How it was run", "\n".join(f"- {escape(f'{what}: {value}')}" for what, value in rows)]
    parts += ["### To quote", escape(sentence(comparison))] if lines else []
    return "\n\n".join(part for part in parts if part) + "\n"


def document_across(found: Across) -> str:
    """Return several studies side by side: the sentence, the table and the notes; what comes from them is escaped."""
    parts = [f"## {escape(across.heading(found))}", f"**{escape(across.sentence(found))}**"]
    if found.strategies:
        parts += _captioned(across.table(found, "wide"))
    parts.append("\n".join(f"- {escape(note)}" for note in across.notes(found)))
    return "\n\n".join(parts) + "\n"


def _captioned(content: columns.Table) -> list[str]:
    rows = [[escape(cell) for cell in row] for row in content.rows]
    return [f"{escape(content.caption)}:", table([*map(escape, content.titles)], rows, content.is_text)]


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], is_text: Sequence[bool] = ()) -> str:
    """Return a table of cells that are Markdown already.

    Args:
        titles: one per column.
        rows: as many cells each.
        is_text: which columns are aligned left, the others right; by default all of them.
    """
    rules = ["---" if text else "---:" for text in is_text or [True] * len(titles)]
    lines = (f"| {' | '.join(titles)} |", f"|{'|'.join(rules)}|", *(f"| {' | '.join(row)} |" for row in rows))
    return "\n".join(lines)


def escape(text: str) -> str:
    """Escape what Markdown, GitHub's formulas and HTML would read as markup or links; line breaks become spaces."""
    text = html.escape(visible(" ".join(text.split())), quote=False)
    return re.sub(r"[\\`*_\[\]|$#~@]|:(?=//)|(?<=www)\.", r"\\\g<0>", text, flags=re.IGNORECASE)
