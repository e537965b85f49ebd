"""What tests of training share: reports without their drawings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def no_drawings() -> Iterator[None]:
    """Pages whose plots are empty: matplotlib takes most of a report's time."""
    from training.evaluate import plots

    with pytest.MonkeyPatch.context() as patch:
        for name in ("bars", "reliability", "coverage", "confusion"):
            patch.setattr(plots, name, lambda title, *_: '<svg role="img"></svg>')
        yield
