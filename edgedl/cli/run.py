"""``edgedl run``: let a bundle answer: pictures, a video, a camera, a text, a table."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.cli import answer
from edgedl.cli.inspect import plain
from edgedl.cli.parser import add_backend_options, add_json_option, new_parser, print_next
from edgedl.cli.search import add_beams_option, search_changes
from edgedl.deps import explain_missing
from edgedl.errors import UsageError
from edgedl.printable import counted

if TYPE_CHECKING:
    from edgedl.frame import Frame, Mounting
    from edgedl.runtime.base import Result
    from edgedl.stream.motion import MotionGate
    from edgedl.stream.sink import Sink
    from edgedl.stream.source import Source


_PICTURES = ("captioning", "classification", "clip-classification")
_USES = {
    "realtime": _PICTURES,
    "max_frames": _PICTURES,
    "motion": _PICTURES,
    "top": ("classification", "clip-classification", "text-classification"),
    "length": ("text-generation",),
    "temperature": ("text-generation",),
    "top_k": ("text-generation",),
    "seed": ("text-generation",),
    "last": ("regression",),
}
"""Options to the tasks that have a use for them; one that is not given is None."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "run",
        "let a bundle answer a video, images, a camera, a text or a table",
        example="edgedl run x.edge clip.mp4 captioned.mp4",
    )
    parser.add_argument("bundle", type=Path, help="a folder NAME.edge")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="video, image, folder, rtsp://…, http://… (MJPEG) or test://scenes; a text, .txt or "
        ".csv for models of texts and tables; .npy or .npz for models of arrays",
    )
    parser.add_argument(
        "sink",
        nargs="?",
        metavar="SINK",
        help="file to write: .mp4 draws the answers, .jsonl and .txt get a line per frame",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        default=None,
        help="play a file at its own speed; the newest frame wins",
    )
    parser.add_argument("--max-frames", type=int, metavar="N", help="end after N frames")
    parser.add_argument("--top", type=int, metavar="K", help="classes in a result (default 5)")
    parser.add_argument("--length", type=int, metavar="N", help="of text (default 300)")
    parser.add_argument("--temperature", type=float, metavar="T", help="of text (default 0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="of text (default all)")
    parser.add_argument("--seed", type=int, help="of text (default 1)")
    parser.add_argument(
        "--last", action="store_true", default=None, help="of a table: the newest window only"
    )
    add_motion_option(parser)
    add_mounting_options(parser)
    add_pipeline_options(parser)
    add_beams_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def add_motion_option(parser: argparse.ArgumentParser) -> None:
    """Add the motion gate."""
    parser.add_argument(
        "--motion",
        type=float,
        metavar="FRACTION",
        help="answer a frame once more than this share of it (0 to 1) has changed",
    )


def add_mounting_options(parser: argparse.ArgumentParser) -> None:
    """Add how the camera hangs."""
    parser.add_argument(
        "--rotate",
        type=int,
        choices=(0, 90, 180, 270),
        default=0,
        metavar="DEGREES",
        help="turn pictures clockwise by 90, 180 or 270",
    )
    parser.add_argument(
        "--flip",
        choices=("horizontal", "vertical"),
        default="none",
        metavar="WAY",
        help="then mirror them: horizontal (left and right) or vertical",
    )


def mounting_of(args: argparse.Namespace) -> Mounting:
    """Return how the arguments say that the camera hangs."""
    from edgedl.frame import Mounting

    return Mounting(rotate=args.rotate, flip=args.flip)


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``edgedl.load`` can be told."""
    add_backend_options(parser)
    parser.add_argument(
        "--precision", default="auto", metavar="NAME", help="fp32, fp16, bf16, int8 (default: auto)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of a session (default 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    for name in ("max_frames", "top"):
        value = getattr(args, name)
        if value is not None and value < 1:
            msg = f"--{name.replace('_', '-')} must be >= 1; got {value}"
            raise UsageError("E132", msg)
    try:
        return _run(args)
    except KeyboardInterrupt:
        leave_if_stuck(130)
        raise


def leave_if_stuck(code: int) -> None:
    """Exit at once if a thread of ours is still inside a native call.

    Connecting with FFmpeg cannot be interrupted; Python would wait for it for seconds.
    """
    if any(thread.name.startswith("edgedl-") for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(args: argparse.Namespace) -> int:
    with explain_missing("running a bundle"):
        from edgedl.runtime.captioner import change_search
        from edgedl.runtime.pipeline import load
    with load(
        args.bundle,
        args.backend,
        args.precision,
        threads=args.threads,
        allow_prebuilt_engine=args.allow_prebuilt_engine,
        mounting=mounting_of(args),
    ) as pipeline:
        task = pipeline.bundle.model_spec.task
        are_videos = task == "clip-classification" and _holds_videos(Path(args.source))
        takes_pictures = pipeline.bundle.model_spec.image is not None
        are_arrays = Path(args.source).suffix in answer.ARRAYS
        if takes_pictures and are_arrays and task != "tensor":
            raise answer.misfit(pipeline, args.source)
        _check_options(args, task, is_stream=takes_pictures and not are_videos)
        change_search(pipeline.model, search_changes(args))
        if args.top is not None:
            pipeline.top = args.top
        if are_videos:
            done = answer.classify_clips(pipeline, Path(args.source), args)
        elif takes_pictures and not are_arrays:
            return _stream(args, pipeline)
        elif task == "text-generation":
            answer.write_text(pipeline, args)
            return 0
        else:
            answers: dict[str, Any] = {
                "text-classification": answer.classify_texts,
                "regression": answer.predict,
            }
            done = answers.get(task, answer.compute)(pipeline, args)
    print(f"{done} answered", file=sys.stderr)
    return 0


def _check_options(args: argparse.Namespace, task: str, *, is_stream: bool) -> None:
    """Refuse options that would change nothing.

    Raises:
        UsageError: E130 with the option and the task.
    """
    are_videos = task in _PICTURES and not is_stream
    what = "a folder of videos" if are_videos else f"a model for {task}"
    if args.sink is not None and not is_stream:
        msg = f"{what} writes no {args.sink!r}; for a file: --json PATH"
        raise UsageError("E130", msg)
    if Path(args.source).suffix in answer.ARRAYS and (args.rotate or args.flip != "none"):
        msg = f"{args.source} holds arrays, which are not turned; leave --rotate and --flip out"
        raise UsageError("E130", msg)
    for name, tasks in _USES.items():
        is_used = is_stream if tasks is _PICTURES else task in tasks
        if getattr(args, name) is not None and not is_used:
            msg = f"--{name.replace('_', '-')} changes nothing for {what}; leave it out"
            raise UsageError("E130", msg)


def _holds_videos(path: Path) -> bool:
    """Return whether a path is a folder with a video in it or in its folders."""
    from edgedl.data.clips import videos_in

    return path.is_dir() and bool(videos_in(path))


def _stream(args: argparse.Namespace, pipeline: Any) -> int:
    """Answer the frames of a source."""
    from edgedl.stream.captions import caption_source
    from edgedl.stream.motion import motion_gate
    from edgedl.stream.source import open_source

    stop = threading.Event()
    gate = motion_gate(args.motion, pipeline.bundle.model_spec)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(args.source, realtime=bool(args.realtime)))
        stack.enter_context(_on_signals(stop))
        sinks = [stack.enter_context(sink) for sink in _sinks(args)]
        done = caption_source(pipeline, source, sinks, args.max_frames, stop, gate)
        if stop.is_set() and not source.live:
            raise KeyboardInterrupt  # a file that was not read to its end: no video of half of it
    _print_summary(source, done, gate)
    clip = pipeline.bundle.model_spec.clip
    if clip and not done:
        needed = (clip.frames - 1) * clip.every + 1
        each = f"every {clip.every} frames" if clip.every > 1 else "in a row"
        whole = "" if source.live else "; videos of a folder are answered whole, however short"
        print(
            f"a clip is {clip.frames} frames, {each}: the first answer needs {needed}, "
            f"{source.status().frames} came{whole}",
            file=sys.stderr,
        )
    print_next("edgedl", "serve", args.bundle, "--source", source.uri, *_options_of_serve(args))
    return 0


def _options_of_serve(args: argparse.Namespace) -> list[object]:
    """Return those of the arguments that ``edgedl serve`` takes, too."""
    told = {
        "--motion": (args.motion, None),
        "--rotate": (args.rotate, 0),
        "--flip": (args.flip, "none"),
        "--backend": (args.backend, "auto"),
        "--precision": (args.precision, "auto"),
        "--threads": (args.threads, 1),
        "--beams": (args.beams, None),
    }
    given = [(name, value) for name, (value, usual) in told.items() if value != usual]
    words: list[object] = [word for pair in given for word in pair]
    return [*words, *["--allow-prebuilt-engine"] * args.allow_prebuilt_engine]


def _sinks(args: argparse.Namespace) -> list[Sink]:
    """Open what the arguments ask for; where they name no file, lines go to standard output."""
    from edgedl.stream.sink import LineSink, open_sink

    for path in (args.sink, args.json):
        if path is not None and _is_same_file(path, args.source):
            msg = f"{path} is the source itself; name another file to write"
            raise UsageError("E131", msg)
    sinks: list[Sink] = []
    if args.json not in (None, "-"):
        sinks.append(open_sink(args.json, as_json=True))
    if args.sink is not None:
        sinks.append(open_sink(args.sink, mounting=mounting_of(args)))
    if args.json == "-" or not sinks:
        sinks.append(LineSink(sys.stdout, as_json=args.json == "-"))
    else:
        sinks.append(_Counter())
    return sinks


def _is_same_file(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except OSError:
        return False


class _Counter:
    """Shows on a terminal how far it is, while the captions go to files."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.status import Status

        self._console = Console(stderr=True)
        self._status = Status("answering", console=self._console)
        self._done = 0

    def write(self, _frame: Frame, caption: Result) -> None:
        self._done += 1
        self._status.update(plain(f"{counted(self._done, 'frame')}  {caption.text}"))

    def __enter__(self) -> _Counter:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # a terminal that is gone: the files are completed all the same
            self._status.stop()


@contextmanager
def _on_signals(stop: threading.Event) -> Iterator[None]:
    """End after the current frame on the first signal, at once on the second."""

    def handle(number: int, _stack: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup stays nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _print_summary(source: Source, done: int, gate: MotionGate | None) -> None:
    status = source.status()
    still = f"{gate.held_back} without motion, " if gate else ""
    print(
        f"{counted(done, 'frame')} answered, {still}{status.dropped} dropped, "
        f"{status.corrupt} damaged",
        file=sys.stderr,
    )
