"""Views: every one is what a plain reading of its number says."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.data.views import VIEWS, Crop, ViewOptions

ROWS: dict[str, list[tuple[dict[str, Any], int]]] = {
    "plain": [({}, 1)],
    "crop": [
        ({}, 162),
        ({"padding": 4, "flip": False}, 81),
        ({"padding": 1}, 18),
        ({"padding": 0}, 2),
        ({"padding": 0, "flip": False}, 1),
        ({"padding": 9}, 722),
    ],
}


def _cases() -> list[tuple[ViewOptions, int]]:
    missing = set(VIEWS) - set(ROWS)
    assert not missing, f"views {missing} need a row in ROWS"
    return [(VIEWS.parse({"kind": kind, **options}), count) for kind in VIEWS for options, count in ROWS[kind]]


@pytest.fixture(params=_cases(), ids=str)
def case(request: pytest.FixtureRequest) -> tuple[ViewOptions, int]:
    found: tuple[ViewOptions, int] = request.param
    return found


def _images(count: int, channels: int = 3, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(1, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


def test_count(case: tuple[ViewOptions, int]) -> None:
    views, count = case
    assert views.count == count


@pytest.mark.parametrize("channels", [1, 3])
def test_apply(case: tuple[ViewOptions, int], channels: int) -> None:
    views, count = case
    images = _images(count, channels)
    before = images.clone()
    result = views.apply(images, torch.arange(count))
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    assert torch.equal(images, before)


def test_identity(case: tuple[ViewOptions, int]) -> None:
    views, _ = case
    images = _images(7)
    assert torch.equal(views.apply(images, torch.full((7,), views.identity)), images)


def test_views_do_not_depend_on_order_or_company(case: tuple[ViewOptions, int]) -> None:
    views, count = case
    images, drawn = _images(40), torch.arange(40) * 7 % count
    order = torch.from_numpy(np.random.default_rng(0).permutation(40))[:25]
    assert torch.equal(views.apply(images[order], drawn[order]), views.apply(images, drawn)[order])


def test_all_views_of_an_example_differ(case: tuple[ViewOptions, int]) -> None:
    views, count = case
    if isinstance(views, Crop) and views.padding >= 8:
        count = (2 * 7 + 1) ** 2  # the rest shows nothing but padding
        images = views.apply(_images(1).expand(views.count, -1, -1, -1), torch.arange(views.count))
        assert len(torch.unique(images, dim=0)) == 2 * count + 1
    else:
        images = views.apply(_images(1).expand(count, -1, -1, -1), torch.arange(count))
        assert len(torch.unique(images, dim=0)) == count


@pytest.mark.parametrize(
    ("padding", "flip", "size"), [(4, True, 32), (4, False, 8), (1, True, 8), (0, True, 5), (9, True, 8)]
)
def test_crop_is_pad_crop_flip(padding: int, flip: bool, size: int) -> None:
    crop = Crop(padding=padding, flip=flip)
    images = _images(crop.count, size=size)
    result = crop.apply(images, torch.arange(crop.count)).numpy()
    view = 0
    for mirrored in (False, True) if flip else (False,):
        for top in range(2 * padding + 1):
            for left in range(2 * padding + 1):
                padded = np.pad(images[view].numpy(), ((0, 0), (padding, padding), (padding, padding)))
                expected = padded[:, top : top + size, left : left + size]
                np.testing.assert_array_equal(result[view], expected[:, :, ::-1] if mirrored else expected)
                view += 1
    assert view == crop.count


def test_crop_of_no_images() -> None:
    assert Crop().apply(_images(0), torch.arange(0)).shape == (0, 3, 8, 8)


def test_crop_takes_floats() -> None:
    images, drawn = _images(30), torch.arange(30)
    assert torch.equal(Crop().apply(images.float(), drawn), Crop().apply(images, drawn).float())
