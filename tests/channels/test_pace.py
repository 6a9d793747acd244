"""Promise: what has begun is worked off in about a second, from the first slices on, so that a pause takes effect."""

from __future__ import annotations

from channels.pace import PaceConfig, Window


def test_slices_begun_side_by_side_do_not_each_widen_the_window_anew() -> None:
    """A provider that takes 270 a second: the window must come to rest near what it settles in the wanted time."""
    window = Window(8, PaceConfig(slice_seconds=0.8))
    rate = 270.0
    sizes = []
    for _ in range(20):
        begun = window.size
        for _ in range(8):  # eight slices of one epoch, all begun when as many were under way
            window.observe(begun / rate, begun)
        sizes.append(window.size)
    assert max(sizes) <= 2 * 0.8 * rate
    assert sizes[-1] == int(0.8 * rate)


def test_a_slow_provider_narrows_it_to_its_concurrency_at_least() -> None:
    window = Window(8, PaceConfig(slice_seconds=0.8))
    for _ in range(10):
        window.observe(10.0, window.size)
    assert window.size == 8


def test_a_window_that_was_mostly_empty_is_not_widened() -> None:
    window = Window(8, PaceConfig(slice_seconds=0.8))
    window.observe(0.001, 3)
    assert window.size == 8


def test_it_has_a_largest_size() -> None:
    window = Window(8, PaceConfig(slice_seconds=0.8, largest_window=100))
    for _ in range(10):
        window.observe(0.001, window.size)
    assert window.size == 100
