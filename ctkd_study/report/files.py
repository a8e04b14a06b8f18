"""Figures in files, for papers and documents."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ctkd_study.errors import StudyError

STYLE: Any = MappingProxyType({"axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False})
"""To be set while a figure is drawn. Names with dollar signs are names, not formulas."""


def save(figure: Figure, file: Path) -> None:
    """Write a figure; the same figure always gives the same file.

    Args:
        file: its ending names the format: svg, pdf, png.

    Raises:
        StudyError: the ending names no format, or the file cannot be written.
    """
    known = figure.canvas.get_supported_filetypes()
    ending = file.suffix.removeprefix(".").lower()
    if ending not in known:
        raise StudyError(f"the file of a figure must end in one of .{', .'.join(sorted(known))}, but is {file}")
    metadata = {"svg": {"Date": None}, "svgz": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
    try:
        # Text stays text, and ids do not depend on chance.
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": file.stem}):
            figure.savefig(file, metadata=metadata, dpi=150)
    except OSError as fault:
        raise StudyError(f"{file} cannot be written: {fault.strerror}") from fault
