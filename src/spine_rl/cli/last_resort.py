"""How a command ends that cannot go on: one line, whatever happened, and an exit status that says which kind it was.

- 2: a mistake that the line says how to mend, what the system refuses, or a defect, whose traceback is kept in a file
- 130, 143: stopped by Ctrl-C or by SIGTERM; the line says what is kept and how to go on
"""

import contextlib
import errno
import os
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from spine_rl.errors import ConfigError, SpineError, Stopped, escape_controls, shorten

_GO_ON = ("eval", "transfer", "experiment", "solve")  # with the same command


def run_reported(command: Callable[[], None]) -> None:
    """Runs a command; it ends by itself, or the process does, after one line on standard error."""
    _make_streams_safe()
    try:
        _check_arguments(sys.argv)
        with _raising_stopped():
            command()
            sys.stdout.flush()
    except SpineError as error:
        _end(2, str(error))
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left would fail again at the end
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:  # a full disk, no permission, a folder in a file's place
        _end(2, describe_os_error(error))
    except Stopped as stop:
        how = "interrupted" if stop.signal == signal.SIGINT else f"ended by {stop}"
        _end(128 + stop.signal, f"{how}; {advise(sys.argv[1:], stop.kept)}")
    except Exception as error:
        _end(2, _describe_defect(error))


def _check_arguments(arguments: Sequence[str]) -> None:
    """What is no UTF-8 reaches Python as halves of characters, which fail wherever they are written."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode(errors="backslashreplace").decode()
            raise ConfigError(f"{shown}: an argument that is not UTF-8; rename the file, or mend the text") from None


def advise(arguments: Sequence[str], kept: str | None = None) -> str:
    """What a command that was stopped leaves (`kept`, where it is known), and how to go on with it."""
    name = arguments[0] if arguments else ""
    left = [each for each in arguments if each not in ("--overwrite", "--resume")]  # not to remove what is done
    again = shlex.join(["spine", *left, *(["--resume"] if name == "train" and kept else [])])
    if name == "eval" and not any(each.partition("=")[0] == "--out" for each in arguments):
        return "nothing is kept; with --out FOLDER an evaluation goes on where it was stopped"
    if kept or name in _GO_ON:
        return f"{kept or 'what is finished is kept'}; go on with: {again}"
    return f"nothing is kept; to begin again: {again}"


def describe_os_error(error: OSError) -> str:
    """`PATH: reason`."""
    if error.strerror is None:  # a library's own
        return shorten(error)
    reason, name = error.strerror, error.filename
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason += "; what was whole is untouched: make room, and give the same command"
        name = name or "standard output"  # of files, what writes them says the name
    return reason if name is None else f"{name}: {reason}"


def _describe_defect(error: Exception) -> str:
    kept = _keep_traceback(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported
        return f"out of memory; lower the batch size or the length limit ({kept})"
    return f"a defect of spine, {type(error).__name__}: {shorten(error)} ({kept})"


def _keep_traceback(error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        descriptor, name = tempfile.mkstemp(prefix="spine-", suffix=".traceback")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{shlex.join(sys.argv)}\n{text}")
    except OSError as refused:
        return f"its traceback could not be kept: {refused.strerror}"
    return f"its traceback is in {name}"


def _end(status: int, line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"spine: {escape_controls(line)}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):  # what a full disk did not take is not tried again at the end
        sys.stdout.flush()
    sys.exit(status)


def _make_streams_safe() -> None:
    """Output that is closed is dropped; what its encoding does not have is written as an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open as long as the process is
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _raising_stopped() -> Iterator[None]:
    """Ctrl-C and SIGTERM become `Stopped`, which no library on the way turns into something else; a second one ends
    the process by itself, whatever Python waits for, so that nothing is restored after the first."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number)

    try:
        before = [signal.signal(number, stop) for number in numbers]
    except ValueError:  # not in the main thread, where signals are another's
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)
