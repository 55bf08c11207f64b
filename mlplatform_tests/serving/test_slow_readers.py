"""Which answers have waited too long, by a clock of the test's own."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from mlplatform.serving.slow_readers import Connection, Readers


@dataclass(eq=False)
class Line:
    """A connection as `Readers` sees it: bytes that wait, and which request they answer."""

    size: int = 0
    cycle: object = field(default_factory=object)
    cut: bool = False

    @property
    def transport(self) -> Any:
        return self

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.cut = True


def watched(*lines: Line, seconds: float = 10, most_bytes: int = 0) -> tuple[Readers, Counter[str]]:
    refused: Counter[str] = Counter()
    readers = Readers(seconds, most_bytes, refused)
    readers._open = {cast("Connection", line) for line in lines}
    return readers, refused


def test_an_answer_may_wait_so_long_and_no_longer() -> None:
    line, read = Line(5), Line(0)
    readers, refused = watched(line, read)
    for now in (0.0, 5.0, 9.9):
        readers.look(now)
        assert not line.cut
    readers.look(10.0)
    assert (line.cut, read.cut, refused["unread"]) == (True, False, 1)


def test_a_client_that_reads_and_asks_again_is_not_cut_off_however_long_it_goes_on() -> None:
    line = Line(5)
    readers, refused = watched(line)
    for now in range(60):
        if now % 8 == 0:
            line.cycle = object()
        readers.look(now)
    assert not refused


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20), st.integers(1, 300))
def test_however_much_waits_at_once_what_is_left_fits_and_no_more_is_cut_off_than_needed(
    sizes: list[int], most: int
) -> None:
    lines = [Line(size) for size in sizes]
    readers, refused = watched(*lines, most_bytes=most)
    readers.look(0.0)
    left = [line.size for line in lines if not line.cut]
    assert sum(left) <= most
    assert refused["unread"] == sum(line.cut for line in lines)
    if refused:
        assert sum(left) + max(line.size for line in lines if line.cut) > most
