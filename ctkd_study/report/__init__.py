"""From a verdict to what people read: terminal tables, a live table, JSON, Markdown, a page, figures.

Takes a ``Comparison``, a plan with its estimate, or the progress of a launch, and gives text. ``html``, ``curricula``,
``illustrations`` and ``effects`` draw with matplotlib, which takes most of a second to import, so they are not exported
here: import the module itself where it is used.
"""

from ctkd_study.report.across import as_json as across_as_json
from ctkd_study.report.as_json import comparison_as_json, plan_as_json
from ctkd_study.report.design import design_as_json, show_design
from ctkd_study.report.live_table import show_progress
from ctkd_study.report.markdown import document as comparison_as_markdown
from ctkd_study.report.markdown import document_across as across_as_markdown
from ctkd_study.report.sentence import sentence
from ctkd_study.report.terminal import show, show_across, show_outcome, show_plan

__all__ = ["across_as_json", "across_as_markdown", "comparison_as_json", "comparison_as_markdown", "design_as_json"]
__all__ += ["plan_as_json", "sentence", "show", "show_across", "show_design", "show_outcome", "show_plan"]
__all__ += ["show_progress"]
