"""The built-in sentiment model: the scores of VADER for any text, in reasonable time."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SPECIAL_CASES, SentimentIntensityAnalyzer

from app.jobs.params import ModelReference
from worker.context import JobError, RowError
from worker.runtimes.cache import ModelCache
from worker.runtimes.vader import LinearAnalyzer, VaderModel

SENTIMENT = ModelReference(name="sentiment", version=1, runtime="vader")

original = SentimentIntensityAnalyzer()
linear = LinearAnalyzer()

# Triggers of all rules, so that short texts combine many of them.
words = st.sampled_from(
    [
        *("good", "BAD", "great", "horrible", "no", "or", "nor", "but", "least", "at", "very", "kind", "of"),
        *("never", "so", "this", "without", "doubt", "table", "GREAT!!!", "really?", ":)", "😁", "isn't"),
        *NEGATE,
        *BOOSTER_DICT,
        *SPECIAL_CASES,
    ]
)


def _predict(text: str) -> dict[str, Any]:
    (prediction,) = VaderModel().predict([text])
    assert isinstance(prediction, dict)
    return prediction


@given(st.lists(words, max_size=40).map(" ".join) | st.text(max_size=200))
def test_the_scores_equal_those_of_vader(text: str) -> None:
    assert linear.polarity_scores(text) == original.polarity_scores(text)


@pytest.mark.parametrize(
    ("text", "label", "score"),
    [
        ("I love this, it is wonderful!", "positive", 0.8478),
        ("This is a terrible, horrible mess.", "negative", 0.8074),
        ("This is a table.", "neutral", 1.0),
        ("", "neutral", 1.0),
        ("😁😁😁", "positive", 0.8402),
        ("שלום עולם, مرحبا بالعالم", "neutral", 1.0),
        ("\x00\u202e\ufeff", "neutral", 1.0),
    ],
)
def test_a_text_gets_a_label_and_its_strength(text: str, label: str, score: float) -> None:
    prediction = _predict(text)

    assert (prediction["label"], prediction["score"]) == (label, pytest.approx(score, abs=0.05))
    assert set(prediction["scores"]) == {"positive", "neutral", "negative", "compound"}


def test_a_text_of_100_000_characters_takes_seconds_at_most() -> None:
    text = ("the quick brown fox was good and bad " * 3000)[:100_000]

    started = time.process_time()
    prediction = _predict(text)

    assert prediction["label"] == "negative"
    assert time.process_time() - started < 5  # 41 s before `LinearAnalyzer`


def test_a_row_that_is_not_a_text_gets_an_error_but_a_text_without_letters_does_not() -> None:
    rows = ["fine", {"text": "not fine"}, None, 4, "", "fine"]

    predictions = VaderModel().predict(rows)

    assert predictions[0] == predictions[5]
    assert predictions[1:4] == [
        RowError("bad_row", "{'text': 'not fine'} is not a text"),
        RowError("bad_row", "there is no text"),
        RowError("bad_row", "4 is not a text"),
    ]
    assert predictions[4] == VaderModel().predict([""])[0] == _predict("")


def test_a_model_is_loaded_once() -> None:
    again = ModelReference(name="sentiment", version=1, runtime="vader")

    cache = ModelCache()

    assert cache.load(SENTIMENT, None) is cache.load(again, None)


def test_an_unknown_runtime_is_an_error() -> None:
    with pytest.raises(JobError) as error:
        ModelCache().load(ModelReference(name="sentiment", version=1, runtime="abacus"), None)

    assert error.value.code == "unknown_runtime"
