"""Rewards of servers on this machine, and how rewards are named on the command line."""

import json
import re

import pytest
from PIL import Image

from glm_core.errors import GLMImageError
from glm_core.rl.rewards import HttpReward, JudgeReward, PlanReward, parse_rewards
from tests.support.judges import completion, serve_judge
from tests.support.ocr import needs_ocr
from tests.support.posters import SIGN, drawn, sample
from tests.support.reward_servers import serve_example


def test_the_example_scores_contrast():
    grey = sample(SIGN, Image.new("RGB", (64, 64), "grey"))
    half = Image.new("RGB", (64, 64), "black")
    half.paste("white", (0, 0, 32, 64))
    with serve_example() as url:
        assert [score.value for score in HttpReward(url)([grey, sample(SIGN, half)])] == [0, 0.5]


def test_requests_carry_prompts_texts_and_at_most_16_pictures():
    requests = []

    def answer(request: dict) -> dict:
        requests.append(request)
        return {"scores": [len(requests)] * len(request["images"])}

    with serve_example(answer) as url:
        assert [score.value for score in HttpReward(url)([drawn(SIGN)] * 20)] == [1] * 16 + [2] * 4
    assert requests[1]["prompts"] == [drawn(SIGN).task.prompt] * 4
    assert requests[1]["texts"] == [["BOX"]] * 4


@pytest.mark.parametrize("scores", [
    [1], [1, 2, 3], [1, "2"], [1, None], [1, True], [1, float("nan")], [1, float("inf")], [1, [2]], "12", None,
    [1, 10**400],
])
def test_other_scores_are_refused_on_one_line(scores):
    with serve_example(lambda request: {"scores": scores}) as url, \
            pytest.raises(GLMImageError, match="must be.*number.*got") as caught:
        HttpReward(url)([drawn(SIGN)] * 2)
    assert url in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [{}, {"score": [1]}, {"scores": [1], "more": 1}])
def test_other_answers_are_refused(answer):
    message = r'must be \{"scores": \[...\]\} with 1 numbers'
    with serve_example(lambda request: answer) as url, pytest.raises(GLMImageError, match=message):
        HttpReward(url)([drawn(SIGN)])


def test_a_missing_server_is_one_line():
    with serve_example() as url:
        pass
    with pytest.raises(GLMImageError, match="cannot be reached"):
        HttpReward(url)([drawn(SIGN)])


def judged(text: str, question: str = "Is this {prompt}?") -> tuple[float, dict]:
    """The score of a judge that says ``text``, and what it was asked."""
    with serve_judge(lambda body: completion(text)) as judge:
        (score,) = JudgeReward(judge.url, question)([drawn(SIGN)])
        return score.value, judge.requests[0]


@pytest.mark.parametrize("text, value", [
    ("Yes", 1), ("no.", 0), (" YES\n", 1), ("10", 1), ("0", 0), ("7.5", 0.75), ("3.", 0.3),
])
def test_a_judge_says_yes_no_or_a_number(text, value):
    assert judged(text)[0] == value


@pytest.mark.parametrize("text", [
    "", "yes, it is", "Answer: 7", "11", "-1", "7/10", "nan", "1e1", "10.1", "yes\nno", "٣",
])
def test_other_verdicts_are_refused_on_one_line(text):
    with pytest.raises(GLMImageError, match="the judge's answer must be yes, no, or a number from 0 to 10") as caught:
        judged(text)
    assert "\n" not in str(caught.value)


def test_the_prompt_stands_in_the_question_as_it_is():
    content = judged("yes", "Does it show {prompt}? {texts}")[1]["messages"][0]["content"]
    assert f"Does it show {drawn(SIGN).task.prompt}? {{texts}}" in json.dumps(content).replace('\\"', '"')


def test_rewards_are_parsed_with_their_weights():
    parsed = parse_rewards(["plan=1", "letters=0.5", "truth=.25", "http=http://localhost:9/a,b=c",
                            "judge=0.5,https://user:word@host/v1#a-model"], "Right?")
    assert [(entry.name, entry.weight) for entry in parsed] == [
        ("plan", 1), ("letters", 0.5), ("truth", 0.25), ("http=http://localhost:9/a,b=c", 1),
        ("judge=https://user:word@host/v1#a-model", 0.5)]
    assert isinstance(parsed[0].reward, PlanReward)
    assert parsed[3].reward == HttpReward("http://localhost:9/a,b=c")
    assert parsed[4].reward == JudgeReward("https://user:word@host/v1#a-model", "Right?")
    assert [entry.reward.needs_pictures for entry in parsed] == [False, True, True, True, True]


@needs_ocr
def test_words_need_the_ocr():
    assert parse_rewards(["words=1", "shapes=1", "likelihood=1"])[0].name == "words"


NAMES = "plan, words, letters, truth, shapes, likelihood, http=[WEIGHT,]URL, judge=[WEIGHT,]URL"


@pytest.mark.parametrize("texts, message", [
    ([], "--reward must be given at least once"),
    (["beauty=1"], re.escape(f"--reward must be NAME=WEIGHT with one of {NAMES} (got 'beauty=1')")),
    *(([text], "--reward must be NAME=WEIGHT with one of") for text in ("", "=1", "Plan=1")),
    *(([f"plan{rest}"], "--reward must be plan=WEIGHT with a weight above 0")
      for rest in ("", "=", "=0", "=-1", "=nan", "=inf", "=1e999", "=one", "=1,http://a", "= 1", "=1=1")),
    *(([f"http{rest}"], r"--reward: http must be written as http=\[WEIGHT,\]URL")
      for rest in ("", "=", "=1", "=localhost:9", "=ftp://a", "=http://a b", "=http://")),
    (["http=0,http://a"], "with a weight above 0"), (["judge=x,http://a"], "with a weight above 0"),
    (["http=http://a:port"], "must be a URL of a server"),
    (["plan=1", "plan=2"], "every reward must be given once .got plan 2 times."),
    (["http=http://a", "http=2,http://a"], "given once"),
])
def test_anything_else_is_refused(texts, message):
    with pytest.raises(GLMImageError, match=message):
        parse_rewards(texts)


def test_one_kind_of_server_may_be_named_twice():
    assert len(parse_rewards(["http=http://a", "http=http://b"])) == 2
