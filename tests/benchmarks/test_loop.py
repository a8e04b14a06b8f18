"""The training loop against the bare student step, and against a loop as authors of papers write it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tests.benchmarks.measuring import cpu_rounds, ratios, report
from tests.benchmarks.training import BATCH, CLASSES, SIZE, arrays, config, epoch, network, trainer_of
from trainables.data import Arrays
from trainables.numerics import to_format
from trainables.trainer import Trainer

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

BATCHES = 6


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
def test_loop_against_the_bare_step(memory_format: str) -> None:
    trial = config("resnet20", "resnet56", numerics={"memory_format": memory_format, "device": "cpu"})
    data = arrays(BATCHES)
    trainer, bare = trainer_of(trial, data), trainer_of(trial, data)
    works = {"bare": lambda: _bare(bare, memory_format, BATCHES), "loop": lambda: epoch(trainer)}
    seconds = cpu_rounds(works, rounds=9)
    found = report(
        f"loop with bank / bare student step, {memory_format}",
        f"CPU time, resnet20, {SIZE}x{SIZE}, batch {BATCH}, 1 thread",
        {
            "images/s, loop over bare step": ratios(seconds["bare"], seconds["loop"]),
            "images/s, loop": [BATCH * BATCHES / each for each in seconds["loop"]],
        },
    )
    assert found["images/s, loop over bare step"] >= 0.85


def _bare(trainer: Trainer, memory_format: str, steps: int) -> None:
    """Forward, backward and optimiser on one ready batch; no teacher, no data."""
    trainer.student.train()
    inputs = to_format(torch.randn(BATCH, 3, SIZE, SIZE), memory_format)
    labels = torch.randint(0, CLASSES, (BATCH,))
    for _ in range(steps):
        loss = F.cross_entropy(trainer.student(inputs), labels)
        trainer.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        trainer.optimiser.step()


class _Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures that are cropped and flipped one by one, as torchvision's data sets do it."""

    def __init__(self, data: Arrays) -> None:
        self.pixels: NDArray[np.uint8] = data.train_images.permute(0, 2, 3, 1).numpy()
        self.labels: list[int] = data.train_labels.tolist()
        self.transform: Any = transforms.Compose(
            [
                transforms.RandomCrop(SIZE, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def test_loop_against_the_authors_manner() -> None:
    data = arrays(BATCHES // 2)
    ours = trainer_of(config("resnet20", "resnet56"), data)
    online = trainer_of(config("resnet20", "resnet56", "online"), data)
    student, teacher = network("resnet20").train().requires_grad_(), network("resnet56")
    optimiser = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(_Pictures(data), batch_size=BATCH, shuffle=True)
    kept = []

    def authors() -> None:
        for images, labels in loader:
            with torch.no_grad():
                guide = teacher(images)
            logits = student(images)
            kd = F.kl_div(F.log_softmax(logits / 4, 1), F.softmax(guide / 4, 1), reduction="batchmean") * 16
            loss = 0.1 * F.cross_entropy(logits, labels) + 0.9 * kd
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            hits = logits.topk(5).indices == labels[:, None]
            kept.append((loss.item(), hits[:, 0].float().mean().item(), hits.any(1).float().mean().item()))

    def teaching() -> None:
        with torch.no_grad():
            for _ in range(BATCHES // 2):
                teacher(ready)

    bare = trainer_of(config("resnet20", "resnet56"), data)
    plain = trainer_of(config("resnet20", "resnet56", numerics={"memory_format": "contiguous", "device": "cpu"}), data)
    ready = torch.randn(BATCH, 3, SIZE, SIZE)
    works: dict[str, Callable[[], object]] = {
        "authors": authors,
        "online": lambda: epoch(online),
        "ours": lambda: epoch(ours),
        "bare": lambda: _bare(bare, "channels_last", BATCHES // 2),
        # What the authors' step consists of.
        "teacher": teaching,
        "student": lambda: _bare(plain, "contiguous", BATCHES // 2),
        "data": lambda: list(loader),
    }
    seconds = cpu_rounds(works, rounds=9)
    shares = {
        f"share of the authors' loop: {part}": ratios(seconds[part], seconds["authors"])
        for part in ("teacher", "student", "data")
    }
    found = report(
        "loop with bank / loop in the authors' manner",
        f"CPU time, resnet56 -> resnet20, {SIZE}x{SIZE}, batch {BATCH}, 1 thread",
        {
            "images/s, ours over the authors'": ratios(seconds["authors"], seconds["ours"]),
            "images/s, ours online over the authors'": ratios(seconds["authors"], seconds["online"]),
            "limit: bare student step over the authors' loop": ratios(seconds["authors"], seconds["bare"]),
            **shares,
        },
    )
    assert found["images/s, ours over the authors'"] > 1.5
