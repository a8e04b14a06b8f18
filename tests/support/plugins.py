"""Packages with plug-ins, laid out as an installer does."""

from collections.abc import Mapping
from pathlib import Path

#: A data set of random images, which are made from its code alone.
NOISE = """\
from typing import Literal

import torch

from trainables.data import Arrays, DataOptions, Sizes

SEED = {seed}


class Noise(DataOptions):
    name: Literal["noise"] = "noise"

    def load(self) -> Arrays:
        generator = torch.Generator().manual_seed(SEED)
        images = torch.randint(0, 256, (300, 1, 8, 8), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 10, (300,), generator=generator)
        return Arrays(images[:200], labels[:200], images[200:], labels[200:], 10, (0.5,), (0.25,))

    def sizes(self) -> Sizes:
        return Sizes(200, 100, 10, 1, 8)
"""


def install(
    site: Path, package: str, entry_points: Mapping[str, Mapping[str, str]], code: Mapping[str, str], version: str = "1"
) -> None:
    """Lay out a package in a folder of ``sys.path``.

    Args:
        site: the folder.
        package: name of the distribution.
        entry_points: ``module:Class`` by name, by group.
        code: contents of files, by path.
        version: of the distribution.
    """
    facts = site / f"{package}-{version}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in entry_points.items()
    )
    (facts / "entry_points.txt").write_text("\n".join(groups))
    for path, text in code.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)


def install_noise(site: Path, seed: int) -> None:
    """Lay out the package ``noise-data`` with the data set ``noise``, which its seed determines."""
    install(site, "noise_data", {"ctkd_study.datasets": {"noise": "noise_part:Noise"}}, {})
    edit_noise(site, seed)


def edit_noise(site: Path, seed: int) -> None:
    """Change the code of the data set: its options stay the same, its images and labels do not."""
    (site / "noise_part.py").write_text(NOISE.format(seed=f"{seed}  # {'x' * seed}"))  # its size differs, too
