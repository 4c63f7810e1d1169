import threading

from edgedl import open_source
from edgedl.frame import Frame
from edgedl.stream.captions import caption_source


class Memory:
    def __init__(self) -> None:
        self.frames: list[int] = []

    def write(self, frame: Frame, _caption: object) -> None:
        self.frames.append(frame.index)


def test_every_frame_of_a_file_goes_to_every_sink(said) -> None:
    one, two = Memory(), Memory()
    with open_source("test://scenes?count=7&size=32") as source:
        assert caption_source(lambda _frame: said, source, [one, two]) == 7
    assert one.frames == two.frames == list(range(7))


def test_it_ends_after_so_many_frames(said) -> None:
    with open_source("test://scenes?fps=100&size=32") as source:
        assert caption_source(lambda _frame: said, source, [], max_frames=3) == 3


def test_answers_are_counted_and_frames_are_limited(said) -> None:
    def every_third(frame: Frame) -> object:
        return said if frame.index % 3 == 2 else None

    memory = Memory()
    with open_source("test://scenes?count=9&size=32") as source:
        assert caption_source(every_third, source, [memory], max_frames=8) == 2
    assert memory.frames == [2, 5]


def test_it_ends_when_told_to(said) -> None:
    stop = threading.Event()

    def caption(frame: Frame) -> object:
        if frame.index >= 2:
            stop.set()
        return said

    with open_source("test://scenes?fps=100&size=32") as source:
        assert caption_source(caption, source, [], stop=stop) >= 1
