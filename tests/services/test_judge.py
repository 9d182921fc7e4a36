"""The judge's client against servers on this machine."""

import base64
import time
from io import BytesIO

import pytest
from PIL import Image

from glm_core.errors import GLMImageError
from glm_core.services import Answer, ask, with_model
from glm_core.services.http_json import MOST_BYTES
from tests.support.judges import completion, serve_judge

RED = Image.new("RGB", (3, 2), (255, 0, 0))


def test_question_and_picture_reach_the_judge_and_its_answer_comes_back():
    with serve_judge(lambda body: completion("Yes.", "served")) as judge:
        assert ask(judge.url, "Is it red?", RED) == Answer("Yes.", "served")
    body = judge.requests[0]
    picture, question = body["messages"][0]["content"]
    assert (body["model"], body["temperature"]) == ("a-served-model", 0)
    assert question == {"type": "text", "text": "Is it red?"}
    start, data = picture["image_url"]["url"].split(",")
    assert start == "data:image/png;base64"
    assert Image.open(BytesIO(base64.b64decode(data))).tobytes() == RED.tobytes()


def test_half_a_character_in_an_answer_can_be_written_down():
    with serve_judge(lambda body: completion("half \ud83d", "served")) as judge:
        assert ask(judge.url, "?", RED).text == "half ?"


def test_url_may_name_the_resource_and_the_model():
    with serve_judge(lambda body: completion("No", ""), models=("a", "b")) as judge:
        for url in (f"{judge.url}#b", f"{judge.url}/#b", f"{judge.url}/chat/completions#b"):
            assert ask(url, "Is it blue?", RED) == Answer("No", "b")
    assert {body["model"] for body in judge.requests} == {"b"}


def test_the_only_model_is_looked_up():
    with serve_judge(lambda body: 500) as judge:
        assert with_model(judge.url) == f"{judge.url}#a-served-model"
        assert with_model(f"{judge.url}#other") == f"{judge.url}#other"


@pytest.mark.parametrize("models, found", [(("a", "b"), "'a, b'"), ((), "'no model'")])
def test_one_of_several_models_is_not_guessed(models, found):
    message = f"must offer one model, or the URL must end with #.*got {found}"
    with serve_judge(lambda body: 500, models) as judge, pytest.raises(GLMImageError, match=message):
        ask(judge.url, "?", RED)
    assert judge.requests == []


@pytest.mark.parametrize("reply, message", [
    (500, r"answered with error 500 \(500\)"),
    (302, "answered with error 302"),
    (b"not json", "not valid JSON"),
    (b"[1]", "must be a JSON object"),
    (b"\xff", "must be text in UTF-8"),
    ({"choices": []}, r"must have text in choices\[0\]"),
    ({"choices": [{"message": {"content": None}}]}, r"must have text in choices\[0\]"),
    (b" " * (MOST_BYTES + 1), "at most"),
])
def test_bad_answers_are_one_line(reply, message):
    with serve_judge(lambda body: reply) as judge, pytest.raises(GLMImageError, match=message) as caught:
        ask(judge.url, "?", RED)
    assert judge.url in str(caught.value) and "\n" not in str(caught.value)


def test_a_slow_judge_is_not_waited_for():
    message = r"did not answer within 0\.1 seconds"
    with serve_judge(lambda body: time.sleep(0.5) or completion("late")) as judge, \
            pytest.raises(GLMImageError, match=message):
        ask(f"{judge.url}#m", "?", RED, timeout_s=0.1)


def test_no_server_is_an_error():
    with serve_judge(lambda body: 500) as judge:
        pass
    with pytest.raises(GLMImageError, match="cannot be reached"):
        ask(judge.url, "?", RED)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "localhost:8000", "", "http://", "http://host:port/v1", "http://[1", "http://a..b/v1",
    "http://localhost:9/\u00fc", f"http://{'a' * 70}.org/",
])
def test_other_urls_are_refused(url):
    with pytest.raises(GLMImageError, match="must be a URL of a server"):
        ask(url, "?", RED)
