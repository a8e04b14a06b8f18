"""Training and evaluation of the tiny trials, written out by plain loops."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support import tiny
from trainables import streams
from trainables.config import TrialConfig
from trainables.data import Arrays
from trainables.models import Network
from trainables.record import Row
from trainables.streams import Purpose


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(each).view(1, 2, 1, 1) for each in ((0.4, 0.6), (0.25, 0.3)))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def evaluated(student: Network, images: Tensor, labels: Tensor) -> tuple[list[float], list[bool]]:
    """Loss, top-1, top-5 and calibration error (percent), and which examples are right."""
    with torch.no_grad():
        logits = student.eval()(normalised(images))
    ranked = logits.argsort(1, descending=True)
    right, among = ranked[:, 0] == labels, (ranked[:, :5] == labels[:, None]).any(1)
    confidence = logits.softmax(1).amax(1).double().numpy()
    gaps = right.double().numpy() - confidence
    in_bins = (gaps[(confidence > n / 15) & (confidence <= (n + 1) / 15)] for n in range(15))
    return [
        float(F.cross_entropy(logits, labels)),
        100 * float(right.double().mean()),
        100 * float(among.double().mean()),
        100 * sum(abs(float(some.sum())) for some in in_bins) / len(labels),
    ], right.tolist()


def by_hand(config: TrialConfig, arrays: Arrays, epochs: int) -> tuple[Network, list[Row]]:
    """Train by plain loops; the split is that of ``tiny.materials``: 8 held out, 20 trained on."""
    held_out = torch.arange(0, 24, 3)
    members = torch.tensor([example for example in range(32) if example % 3 or example > 21][:20])
    with streams.torch_scope(Purpose.STUDENT, 3):
        student = config.student.build(7, 2, 8).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.8, weight_decay=0.01, fused=True)
    rows: list[Row] = []
    for epoch in range(1, epochs + 1):
        optimiser.param_groups[0]["lr"] = lr = 0.05 * (1 + math.cos(math.pi * (epoch - 1) / 3))
        ids = members[torch.from_numpy(streams.batch_order(3, epoch, 20))]
        views = torch.from_numpy(streams.views(3, epoch, 32, 18))[ids]
        sums, correct = np.zeros(3), 0
        student.train()
        for some, seen_as in zip(torch.split(ids, 8), torch.split(views, 8), strict=True):
            logits = student(normalised(config.data.views.apply(arrays.train_images[some], seen_as)))
            labels = arrays.train_labels[some]
            loss = ce = F.cross_entropy(logits, labels)
            kd = torch.zeros(())
            if config.teacher is not None:
                p, log_q = (tiny.told(some, seen_as) / 4).softmax(1), (logits / 4).log_softmax(1)
                kd = 16 * F.kl_div(log_q, p, reduction="batchmean")
                loss = 0.1 * ce + 0.9 * kd
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            sums += len(some) / 20 * np.array([loss.item(), ce.item(), kd.item()])
            correct += int((logits.argmax(1) == labels).sum())
        numbers = [
            evaluated(student, arrays.train_images[held_out], arrays.train_labels[held_out])[0],
            evaluated(student, arrays.test_images, arrays.test_labels)[0],
        ]
        names = ("loss", "top1", "top5", "ece")
        rows.append(
            {
                "epoch": epoch,
                "lr": lr,
                "lambda": None,
                "train_top1": 5.0 * correct,
                "other_loss": None,
                "train_loss": sums[0],
                "ce_loss": sums[1],
                "kd_loss": sums[2] if config.teacher is not None else None,
                **{f"val_{name}": number for name, number in zip(names, numbers[0], strict=True)},
                **{f"test_{name}": number for name, number in zip(names, numbers[1], strict=True)},
                "temperature": 4.0 if config.teacher is not None else None,
                **dict.fromkeys(("temperature_min", "temperature_max", "temperature_std")),
            }
        )
    return student, rows
