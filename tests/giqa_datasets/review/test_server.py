"""The review's server: what it tells to whom, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.testclient import TestClient

from giqa_datasets.folder_lock import hold
from giqa_datasets.review.server import ENTER, FILES, LONGEST, make_app
from giqa_datasets.review.votes import read_votes


HERE = "http://127.0.0.1:8000"
ANSWER = "The red square is sharp, the cat behind it is blurred."


def claim(client, annotator, **key):
    return client.post("/api/claim", content=json.dumps({"annotator": annotator, **key}))


@pytest.fixture
def browse(review):
    """Open a browser of its own at the server, under some names: a client."""
    app = make_app(review, token=None)

    def open_browser(*names):
        client = TestClient(app, base_url=HERE, headers={"origin": HERE})
        assert [claim(client, name).status_code for name in names] == [200] * len(names)
        return client

    return open_browser


@pytest.fixture
def client(browse):
    """The browser of two people."""
    return browse("ann", "bob")


@pytest.fixture
def said(review):
    """The body of a vote on alpha-des as the page posts it."""

    def say(annotator, verdict="accept", **changes):
        state = review.begin["alpha-des"].model_dump()
        return state | {"annotator": annotator, "round": 1, "verdict": verdict, "note": ""} | changes

    return say


def entries(client, annotator):
    return {
        entry["id"]: entry for entry in client.get("/api/round", params={"annotator": annotator}).json()["samples"]
    }


def sample(client, annotator, identifier="alpha-des"):
    return client.get("/api/sample", params={"annotator": annotator, "id": identifier})


def test_a_vote_is_on_the_disk_and_comes_back(client, said, review):
    answer = client.post("/api/votes", json=said("ann", "rewrite", answer="A cat.", regions=[], note="hm"))
    assert answer.status_code == 200
    kept = read_votes(review.path, 1)["ann"]["alpha-des"]
    assert (kept.answer, kept.note, kept.at) == ("A cat.", "hm", answer.json()["at"])
    own = sample(client, "ann").json()
    assert (own["begin"]["answer"], own["vote"]["answer"]) == (ANSWER, "A cat.")
    assert entries(client, "ann")["alpha-des"]["verdict"] == "rewrite"


def test_a_new_server_knows_the_votes_that_were_given_before(client, said, review):
    client.post("/api/votes", json=said("ann", "reject"))
    again = TestClient(make_app(review, token=None), base_url=HERE, cookies=dict(client.cookies))
    assert entries(again, "ann")["alpha-des"]["verdict"] == "reject"


def test_an_annotator_sees_nobody_elses_votes(client, said, review):
    new = said("ann", "new", id="alpha-new-ann-1", answer="SECRET answer", regions=[])
    for body in (said("ann", "rewrite", answer="SECRET text", regions=[], note="SECRET note"), new):
        assert client.post("/api/votes", json=body).status_code == 200
    asked = [
        client.get("/api/round", params={"annotator": "bob"}),
        *(sample(client, "bob", identifier) for identifier in [*review.begin, "alpha-new-ann-1"]),
        client.post("/api/votes", json=said("bob")),
        *(client.get(path) for path in FILES),
    ]
    assert [answer for answer in asked if b"SECRET" in answer.content] == []
    assert sample(client, "bob", "alpha-new-ann-1").status_code == 404
    assert all(entry["verdict"] is None for name, entry in entries(client, "bob").items() if name != "alpha-des")
    assert "SECRET text" in sample(client, "ann").text


def test_own_new_samples_follow_those_of_their_picture(client, said):
    client.post("/api/votes", json=said("ann", "new", id="alpha-new-ann-1"))
    names = list(entries(client, "ann"))
    assert names[:5] == ["alpha-des", "alpha-vqa-1", "alpha-vqa-2", "alpha-new-ann-1", "beta-des"]


def test_two_annotators_in_parallel_lose_nothing(client, said, review):
    def vote(number):
        name = ("ann", "bob")[number % 2]
        body = said(name, "new", id=f"alpha-new-{name}-{number // 2 + 1}", answer=f"{name} {number}", regions=[])
        return client.post("/api/votes", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(vote, range(60))) == {200}
    kept = read_votes(review.path, 1)
    assert {name: len(votes) for name, votes in kept.items()} == {"ann": 30, "bob": 30}
    assert {vote.answer for votes in kept.values() for vote in votes.values()} == {
        f"{('ann', 'bob')[number % 2]} {number}" for number in range(60)
    }


def test_the_grounded_text_is_written_by_the_grid(client, review):
    answer = client.post("/api/grounded", json=review.begin["alpha-vqa-1"].model_dump())
    assert answer.json() == {
        "question": "Is the [red square](<105, 294>) sharp?",
        "answer": "Yes, the [red square](<105, 294>) is sharp.",
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"answer": " "}, "text"),
        ({"answer": "A [dog](<3, 9>)."}, "boxes"),
        ({"verdict": "accept", "answer": "A cat.", "regions": []}, "rewrite"),
        ({"id": "../../etc/passwd"}, "passwd"),
        ({"annotator": "../ann"}, "name"),
        ({"annotator": 3}, "string"),
        ({"round": 2, "verdict": "reject"}, "round 1"),
        ({"regions": [{"phrase": "cat", "role": "answer", "span": [29, 32], "boxes": [[0, 0, 2, 1]]}]}, "boxes"),
        ({"regions": [{"phrase": "dog", "role": "answer", "span": [29, 32], "boxes": [[0, 0, 1, 1]]}]}, "dog"),
        ({"extra": 1}, "extra"),
        ({"answer": "\ud800", "regions": []}, "JSON"),
        ({"answer": "x" * 100_000, "regions": []}, "20000"),
    ],
)
def test_a_vote_that_is_none_gets_one_sentence(client, said, review, changes, sentence):
    body = json.dumps(said("ann", "rewrite") | changes)
    answer = client.post("/api/votes", content=body)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert len(answer.json()["error"]) < 1000
    assert read_votes(review.path, 1) == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b"\xff", 400), (b" " * (LONGEST + 1), 413)],
    ids=["empty", "half", "list", "deep", "bytes", "long"],
)
def test_a_body_that_is_no_object_gets_one_sentence(client, body, status):
    for path in ("/api/votes", "/api/grounded"):
        answer = client.post(path, content=body)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_hostile_text_comes_back_as_it_was_typed(client, said):
    hostile = "<script>alert(1)</script> <img src=x onerror=alert(1)> \u202e\u2066 " + "long " * 3_900
    assert client.post("/api/votes", json=said("ann", "rewrite", answer=hostile, regions=[])).status_code == 200
    answer = sample(client, "ann")
    assert answer.json()["vote"]["answer"] == hostile
    assert answer.headers["content-type"] == "application/json"


def test_images_are_named_by_their_sha256_alone(client, review):
    for image in review.images:
        answer = client.get(f"/images/{image.sha256}")
        assert (answer.content, answer.headers["content-type"]) == (review.image_bytes(image.sha256), "image/png")
    for path in ("0" * 64, "alpha", "..%2f..%2fbegin.jsonl", "../round-1/begin.jsonl", "%2fetc%2fpasswd"):
        assert client.get(f"/images/{path}").status_code == 404


@pytest.mark.parametrize(
    "path", ["server.py", "../server.py", "..%2fserver.py", "%2e%2e/server.py", "//etc/hosts", ""]
)
def test_no_other_file_is_served(client, path):
    assert client.get(f"/static/{path}").status_code == 404


def test_every_answer_forbids_what_the_page_does_not_need(client):
    for path in (*FILES, "/api/round?annotator=ann", "/api/round?annotator=", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil:80"]
)
def test_a_name_that_is_not_this_machines_is_refused(client, host):
    for path in ("/", "/api/round?annotator=ann"):
        assert client.get(path, headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]:8000"])
def test_this_machines_own_names_are_answered(client, host):
    there = {
        "host": host,
        "origin": f"http://{host}",
        "cookie": "; ".join("=".join(each) for each in client.cookies.items()),
    }
    assert client.get("/api/round?annotator=ann", headers=there).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:9", "http://127.0.0.1:8000.evil", "http://["]
)
def test_a_post_from_another_page_is_refused(client, said, review, origin):
    answer = client.post("/api/votes", json=said("ann"), headers={"origin": origin})
    assert answer.status_code == 403
    assert client.get("/api/round?annotator=ann", headers={"origin": origin}).status_code == 403
    assert read_votes(review.path, 1) == {}


def test_with_a_token_nothing_is_told_without_it(review, said):
    client = TestClient(make_app(review, token="right"), base_url="http://lab", headers={"origin": "http://lab"})
    image = f"/images/{review.images[0].sha256}"
    closed = [lambda: client.get("/api/round?annotator=ann"), lambda: client.get(image)]
    vote = said("ann")
    closed += [lambda: sample(client, "ann"), lambda: client.post("/api/votes", json=vote)]
    closed.insert(0, lambda: claim(client, "ann"))
    assert [ask().status_code for ask in closed] == [401] * 5
    assert client.get("/").status_code == 200  # the page itself, which holds no data
    for wrong in ("wrong", "", "righ", "right ", "\ud800", None, 5):
        assert client.post(ENTER, content=json.dumps({"token": wrong})).status_code == 401
    entered = client.post(ENTER, json={"token": "right"})
    assert {"HttpOnly", "SameSite=strict"} <= set(entered.headers["set-cookie"].split("; "))
    assert [ask().status_code for ask in closed] == [200] * 5
    forged = "; ".join(f"{name}=wrong" for name in client.cookies)
    client.cookies.clear()
    assert client.get(image, headers={"cookie": forged}).status_code == 401


def test_an_address_that_others_reach_gets_a_token(folder):
    script = (
        "import sys; from pathlib import Path; from giqa_datasets.review.items import open_review;"
        "from giqa_datasets.review.server import serve;"
        "serve(open_review(Path(sys.argv[1])), host='0.0.0.0', announce=lambda said: print(said, file=sys.stderr))"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stderr=subprocess.PIPE, text=True) as process:
        try:
            said = re.search(r"http://0\.0\.0\.0:([0-9]+)/#token=(\S{32})$", process.stderr.readline())
            url = f"http://127.0.0.1:{said[1]}"
            with httpx.Client(base_url=url, headers={"origin": url}, trust_env=False) as client:
                assert client.get("/api/round?annotator=ann").status_code == 401
                assert client.post(ENTER, json={"token": said[2]}).status_code == 200
                assert claim(client, "ann").status_code == 200
                assert client.get("/api/round?annotator=ann").status_code == 200
        finally:
            process.kill()


def test_a_vote_that_cannot_be_written_may_be_sent_again(client, said, review):
    file = review.path / "round-1" / "votes" / "ann.jsonl"
    file.mkdir(parents=True)
    answer = client.post("/api/votes", json=said("ann"))
    assert (answer.status_code, entries(client, "ann")["alpha-des"]["verdict"]) == (500, None)
    assert answer.json()["error"] == "the server cannot read or write: Is a directory"
    file.rmdir()
    assert client.post("/api/votes", json=said("ann")).status_code == 200


def test_a_merged_round_takes_no_more_votes(client, said, review):
    (review.path / "round-2").mkdir()
    answer = client.post("/api/votes", json=said("ann"))
    assert answer.status_code == 422
    assert "round 2" in answer.json()["error"]


def test_a_name_is_whose_browser_entered_it_first_and_anyones_who_knows_its_key(browse, said, review):
    ann, other = browse("ann"), browse("carl")
    assert ann.post("/api/votes", json=said("ann")).status_code == 200
    for closed in (
        lambda: claim(other, "ann"),
        lambda: claim(other, "ANN"),
        lambda: claim(other, "ann", key="wrong"),
        lambda: claim(other, "ann", key="\ud800"),
        lambda: sample(other, "ann"),
        lambda: other.get("/api/round?annotator=ann"),
        lambda: other.post("/api/votes", json=said("ann", "reject")),
    ):
        assert (closed().status_code, "key" in closed().json()["error"]) == (401, True)
    assert read_votes(review.path, 1)["ann"]["alpha-des"].verdict == "accept"
    file = review.path / "server" / "keys.jsonl"
    assert file.stat().st_mode & 0o077 == 0
    kept = {line["annotator"]: line["key"] for line in map(json.loads, file.read_text().splitlines())}
    assert set(kept) == {"ann", "carl"}
    assert claim(other, "ann", key=kept["ann"]).status_code == 200
    assert sample(other, "ann").json()["vote"]["verdict"] == "accept"
    cookie = claim(ann, "ann").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))


def test_the_servers_of_two_reviews_share_a_browser(browse, tmp_path, built):
    from giqa_datasets.review.items import open_review

    ann = browse("ann")
    second = open_review(shutil.copytree(built, tmp_path / "second"))
    there = TestClient(
        make_app(second, token=None), base_url=HERE, headers={"origin": HERE}, cookies=dict(ann.cookies)
    )
    assert claim(there, "ann").status_code == 200
    ann.cookies.update(there.cookies)
    assert sample(ann, "ann").status_code == 200


def test_a_second_server_of_a_review_is_told_who_has_it(review, folder):
    from giqa_datasets.errors import GiqaError
    from giqa_datasets.review.server import serve

    with hold(review.path / "server"), pytest.raises(GiqaError, match="server is in use by process") as told:
        serve(review)
    assert str(os.getpid()) in str(told.value)
