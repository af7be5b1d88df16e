"""Servers that fail and crowds before our own: what was tried, what was lost, and a note."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from robustness_kills import giqa, in_a_fork, write_set

from tests.conftest import Answer, Asked, ScriptedServer
from tests.hub.releases import FILES, REPO, committed, local, on_hub, record, start, write
from tests.hub.server import Hub


PEOPLE = 20
NOW = {"retry-after-ms": "1"}  # the client is to ask again at once
FAULTS = {
    "status 500": Answer(status=500, headers=NOW),
    "status 429": Answer(status=429, headers=NOW),
    "status 400": Answer(status=400),
    "no JSON": Answer(body=b"<html>busy</html>"),
    "nothing": Answer(body=b""),
    "half a surrogate": Answer(body=b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
    "cut off": Answer(keep_back=9),
}
Tried = tuple[int, list[str], str]


def told(asked: Asked) -> Answer:
    """What a model says: always the same of the same prompt."""
    if asked.body["model"] == "judge":
        return Answer('{"score": 3}')
    return Answer(
        f"The [red square](<0, 399>) is {hashlib.sha256(str(asked.body['messages']).encode()).hexdigest()[:8]}."
    )


@contextmanager
def model_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.rule = told
    yield server
    server.stop()


def failing_model(folder: Path, verb: str, kind: str, most: int) -> Tried:
    """Let a server fail at one request after the other; the same command, run again, must end as if it never had."""
    lost, tried = [], 0
    with model_server() as server:
        begin = folder / f"{verb}-{kind.replace(' ', '-')}"
        write_set(begin / "set")
        predict = giqa("predict", "--model", "m", "--server", server.url, "--data", "set", "--out", "run")
        judged = ["--judge", "judge", "--judge-url", server.url, "--similarity", "lexical", "--resamples", 9]
        run = predict if verb == "predict" else giqa("score", "run", *judged)
        kept = "predictions.jsonl" if verb == "predict" else "summary.json"
        if verb == "score":
            in_a_fork(predict, begin)
        whole = shutil.copytree(begin, begin.with_name("whole"), dirs_exist_ok=True)
        server.asked.clear()
        in_a_fork(run, whole)
        for number in range(min(most, len(server.asked))):
            broken = shutil.copytree(begin, begin.with_name("broken"), dirs_exist_ok=True)
            server.asked.clear()
            server.rule = lambda asked, number=number: FAULTS[kind] if len(server.asked) == number + 1 else told(asked)
            _, first = in_a_fork(run, broken)
            server.rule = told
            _, again = in_a_fork(run, broken)
            tried += 1
            same = (broken / "run" / kept).read_bytes() == (whole / "run" / kept).read_bytes()
            if first not in (0, 1) or again or not same:
                lost.append(
                    f"request {number + 1}: ended with {first}, then {again}, {'the same' if same else 'else'}"
                )
            shutil.rmtree(broken)
        shutil.rmtree(whole)
    return tried, lost, ""


def killed_publisher(folder: Path, most: int) -> Tried:
    """Kill a publisher as one request after the other arrives; the Hub has the old or the new, then the new."""
    folder.mkdir()
    lost, hub = [], Hub()
    release = write(folder / "set", train=[record(number) for number in range(20)])
    start(hub, folder / "home", "publish", release, "org/set").wait()
    n_requests, new = len(hub.requests), local(release)
    places = sorted({1 + number * n_requests // most for number in range(most)})
    for place in places:
        hub.reset()
        committed(hub, {name: text.encode() for name, text in FILES.items()}, "giqa publish old")
        old = on_hub(hub)
        head = str(hub.repos[REPO].commit("main").oid)
        publisher = start(hub, folder / "home", "publish", release, "org/set", "--onto", head)

        def kill(asked: object, place: int = place, publisher: subprocess.Popen[str] = publisher) -> bool:
            if len(hub.requests) == place:
                publisher.kill()
            return len(hub.requests) == place

        hub.fail(kill, "drop")
        publisher.communicate()
        between = on_hub(hub)
        start(hub, folder / "home", "publish", release, "org/set").communicate()
        if between not in (old, new) or on_hub(hub) != new:
            lost.append(f"request {place} of {n_requests}")
    hub.stop()
    return len(places), lost, f"of {n_requests} requests"


def failing_hub(folder: Path, most: int) -> Tried:
    """Let the Hub fail once at one request after the other, in four ways."""
    folder.mkdir()
    lost, hub, tried = [], Hub(), 0
    release = write(folder / "set", train=[record(number) for number in range(3)])
    start(hub, folder / "home", "publish", release, "org/set").wait()
    n_requests, new = len(hub.requests), local(release)
    for place in sorted({1 + number * n_requests // most for number in range(most)}):
        for how in (500, "drop", "cut", 429):
            hub.reset()
            hub.fail(lambda asked, place=place: len(hub.requests) == place, how)
            for _ in range(2):
                start(hub, folder / "home", "publish", release, "org/set").communicate()
            tried += 1
            lost += [f"{how} at request {place}"] * (on_hub(hub) != new)
    hub.stop()
    return tried, lost, f"of {n_requests} requests"


@contextmanager
def serving(*arguments: object) -> Iterator[str]:
    """A command that serves a page: its address."""
    command = [sys.executable, "-m", "giqa_metrics.cli", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            yield next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+(?=/)", line)))
        finally:
            process.terminate()


def reviewers(folder: Path, votes: int) -> Tried:
    """People who vote at once, each under a name and in a browser of their own; every vote must be on the disk."""
    from giqa_datasets.review.items import open_review

    data = write_set(folder / "set")
    opened = open_review(data)
    state = next(iter(opened.begin.values())).model_dump()
    seconds: list[float] = []

    def person(number: int) -> None:
        said = state | {"annotator": f"p{number}", "round": 1, "verdict": "accept"}
        with httpx.Client(base_url=url, headers={"origin": url}, timeout=60) as browser:
            browser.post("/api/claim", json={"annotator": f"p{number}"}).raise_for_status()
            for vote in range(votes):
                began = time.perf_counter()
                browser.post("/api/votes", json=said | {"note": f"vote {vote}"}).raise_for_status()
                browser.get("/api/round", params={"annotator": f"p{number}"}).raise_for_status()
                seconds.append(time.perf_counter() - began)

    with serving("review", data) as url, ThreadPoolExecutor(PEOPLE) as people:
        list(people.map(person, range(PEOPLE)))
    lost = []
    for number in range(PEOPLE):
        lines = (opened.path / "round-1" / "votes" / f"p{number}.jsonl").read_text().splitlines()
        notes = [json.loads(line)["note"] for line in lines]
        lost += [f"vote {vote} of p{number}" for vote in range(votes) if notes[vote : vote + 1] != [f"vote {vote}"]]
    return PEOPLE * votes, lost, _waits(seconds)


def photographs(folder: Path) -> Tried:
    """Visitors who upload a photograph at once and let it be described; each must get the answer about their own."""
    from tests.hub.releases import photograph

    seconds: list[float] = []

    def named(asked: Asked) -> Answer:
        image = next(
            part for turn in asked.body["messages"] for part in turn["content"] if part["type"] == "image_url"
        )
        raw = base64.b64decode(image["image_url"]["url"].partition(",")[2])
        return Answer(f"The [noise](<0, 399>) is {hashlib.sha256(raw).hexdigest()[:12]}.")

    def visitor(number: int) -> str:
        raw, session = photograph(number), f"visitor{number}"
        began = time.perf_counter()
        with httpx.Client(base_url=f"{url}/gradio_api", headers={"origin": url}, timeout=120) as browser:
            file = browser.post("/upload", files={"files": ("a.png", raw)}).raise_for_status().json()[0]
            data = {"path": file, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
            _event(browser, session, opens, [None, data])
            shown = _event(browser, session, describes, [None])
        seconds.append(time.perf_counter() - began)
        return "" if hashlib.sha256(raw).hexdigest()[:12] in str(shown) else f"visitor {number}: {str(shown)[:200]}"

    with model_server() as server:
        server.rule = named
        with serving("app", "--model", "m", "--server", server.url, "--port", 0) as url:
            config = httpx.get(f"{url}/config", timeout=60).json()
            events = {each["id"]: each for each in config["dependencies"]}
            opens = next(number for number, each in events.items() if each["targets"][0][1] == "upload")
            clicks = (number for number, each in events.items() if each["targets"][0][1] == "click" and each["inputs"])
            describes = next(clicks)
            with ThreadPoolExecutor(PEOPLE) as people:
                lost = list(filter(None, people.map(visitor, range(PEOPLE))))
    return PEOPLE, lost, _waits(seconds)


def _event(browser: httpx.Client, session: str, number: int, data: list[Any]) -> Any:
    """Trigger an event as Gradio's page does, and wait for its outcome."""
    asked = {"data": data, "fn_index": number, "session_hash": session}
    browser.post("/queue/join", json=asked).raise_for_status()
    with browser.stream("GET", "/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and (said := json.loads(line[6:]))["msg"] == "process_completed":
                return said["output"]
    return None


def _waits(seconds: Sequence[float]) -> str:
    """How long people waited."""
    ordered = sorted(seconds)
    return f"waits: median {ordered[len(ordered) // 2]:.2f} s, longest {ordered[-1]:.2f} s"


def large_report(folder: Path, count: int) -> Tried:
    """Score a set of which each photograph has three samples, with pictures, and look for each in the report."""
    from giqa_datasets.dataset_folder.write import build_folder

    records = (record(number) for number in range(count // 3 + 1))
    build_folder(folder / "set", "folder", {"test": records})
    answers = [(s.id, s.answer) for number in range(count // 3 + 1) for s in record(number).samples]
    (folder / "run").mkdir()
    lines = (json.dumps({"id": identifier, "prediction": text}) + "\n" for identifier, text in answers)
    (folder / "run" / "predictions.jsonl").write_text("".join(lines))
    began = time.perf_counter()
    options = ("--data", "set", "--similarity", "lexical", "--resamples", 0)
    _, code = in_a_fork(giqa("score", "run", *options), folder)
    report = (folder / "run" / "report.html").read_text() if not code else ""
    shown = set(re.findall("<b>([^<]+)</b>", report))
    lost = [identifier for identifier, _ in answers if identifier not in shown]
    return len(answers), lost, f"{time.perf_counter() - began:.0f} s, {len(report) / 1e6:.0f} MB"
