"""A comparison as one HTML page that needs nothing else: no script, no request, readable on light and dark."""

from collections.abc import Iterable, Sequence
from html import escape

from ctkd_study.analysis import Comparison
from ctkd_study.records import History
from ctkd_study.report import figures, formatting
from ctkd_study.report.literature import published_notes

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #fff; --quiet: #5b636d; --line: #d5d9de; --box: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #15181c; --quiet: #9aa3ad; --line: #3a4048; --box: #1f242a; }
}
body { margin: 2rem auto; max-width: 56rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.question { color: var(--quiet); margin: 0 0 1.2rem; }
.verdict { background: var(--box); border-left: 4px solid #0f8fc4; padding: .8rem 1rem; margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .3rem; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; } th, td { vertical-align: baseline; } .scroll + .scroll { margin-top: 1.5rem; }
th:first-child, .text { text-align: left; } td.text { white-space: normal; }
figure { margin: 1rem 0; } figcaption { color: var(--quiet); font-size: .92rem; }
svg { width: 100%; height: auto; }
ul { padding-left: 1.2rem; } footer { color: var(--quiet); font-size: .88rem; margin-top: 2rem; }
"""


def page(comparison: Comparison, histories: Sequence[History] = ()) -> str:
    """The whole page. Whatever comes from a study is escaped.

    Args:
        comparison: what was found.
        histories: of trials with a learned temperature; they give the figure of T and λ.
    """
    question = comparison.question
    parts = [
        f"<h1>{escape(question.study)}</h1>",
        f'<p class="question">{escape(question.text)}</p>' if question.text else "",
        f'<p class="verdict">{escape(comparison.sentence)}</p>',
        "<h2>Strategies</h2>",
        _accuracy(comparison),
        _cost(comparison),
        *_figures(comparison, histories),
        _notes([*formatting.notes(comparison, histories), *published_notes(comparison)]),
        f"<footer>{escape(_method(comparison))}</footer>",
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(question.study)}: verdict</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _accuracy(comparison: Comparison) -> str:
    pairs = {pair.a: pair for pair in comparison.pairs}
    rows = []
    for summary in comparison.summaries:
        pair = pairs.get(summary.strategy.name)
        cells = [formatting.plus_minus(summary.val_top1), formatting.plus_minus(summary.test_top1)]
        if comparison.pairs:
            cells += ["", "", ""]
        if pair is not None:
            cells[2:] = [formatting.difference(pair), _p(pair.p_value), formatting.word(pair)]
        rows.append((formatting.name(summary, comparison.question.teacher), cells, formatting.kept(summary.strategy)))
    compared = [f"minus {comparison.baseline}", "p", "verdict"] if comparison.pairs else []
    caption = "Top-1 accuracy in percent: mean over seeds, with its 95 % interval"
    return _table(caption, ["strategy", "validation", "test", *compared], "kept, by seed", rows)


def _cost(comparison: Comparison) -> str:
    question = comparison.question
    priced = question.price_per_device_hour is not None
    rows = []
    for summary in comparison.summaries:
        strategy = summary.strategy
        counts = [str(len(strategy.plan.settings)), str(strategy.trials), str(len(strategy.failed))]
        rows.append(
            (formatting.name(summary, comparison.question.teacher), [*counts, *formatting.costs(summary, priced)], "")
        )
    headings = ["strategy", "settings", "trials", "failed", "device-seconds", "ratio", "TFLOP", "ratio"]
    money = [question.currency] if priced else []
    charged = ", with the teacher and evaluation" if question.charges_teacher else ""
    caption = f"Cost of carrying a strategy out once{charged}, and its ratio to {comparison.baseline}"
    return _table(caption, [*headings, *money], "", rows)


def _table(caption: str, headings: Iterable[str], last: str, rows: Iterable[tuple[str, list[str], str]]) -> str:
    """A table of numbers; a last column of text, if it has a heading."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    head += f'<th scope="col" class="text">{escape(last)}</th>' if last else ""
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + (f'<td class="text">{escape(text)}</td>' if last else "")
        + "</tr>"
        for first, cells, text in rows
    )
    return (
        f'<div class="scroll"><table>\n<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _figures(comparison: Comparison, histories: Sequence[History]) -> Iterable[str]:
    margin = comparison.question.margin
    drawn = (
        (
            "Differences",
            figures.differences(comparison),
            f"Each strategy minus {comparison.baseline}, paired by seed: dots are seeds, the bar is the 95 % interval "
            f"of the mean. An interval right of the dashed line (-{margin:g}) is not worse, one left of it is "
            "worse, one right of 0 is better.",
        ),
        (
            "Accuracy against cost",
            figures.accuracy_by_cost(comparison),
            "Mean test accuracy with its 95 % interval; further left is cheaper, further up is better.",
        ),
        (
            "Temperature",
            figures.temperatures(comparison, histories),
            "Mean over seeds, and the span of the seeds. λ scales the reversed gradient of T.",
        ),
    )
    for title, svg, caption in drawn:
        if svg is not None:
            yield f"<h2>{title}</h2>\n<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _notes(notes: Iterable[str]) -> str:
    items = "\n".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Notes</h2>\n<ul>\n{items}\n</ul>" if items else ""


def _method(comparison: Comparison) -> str:
    if not comparison.pairs:
        return ""
    return (
        "Verdicts are read off the two-sided 95 % paired t interval over seeds: a one-sided error of 2.5 % at one "
        "look, for each strategy by itself; they are not adjusted for several strategies. Seeds vary student, batch "
        "order and views, not split, teacher or test set."
    )


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
