"""The runtime of VADER, the built-in sentiment model: a lexicon and rules for English text and emoji.

C.J. Hutto and E.E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
Text", ICWSM 2014; https://github.com/cjhutto/vaderSentiment for the package and for the thresholds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from app.jobs.params import ModelReference
from worker import cells
from worker.context import RowError

BAD_ROW: Final = "bad_row"

POSITIVE_FROM: Final = 0.05
NEGATIVE_FROM: Final = -0.05


class VaderRuntime:
    """Loads the only model, by any name."""

    def load(self, reference: ModelReference, path: Path | None) -> "VaderModel":
        """Return the model; it has no file."""
        return VaderModel()


class VaderModel:
    """Classifies texts as positive, negative or neutral.

    A prediction is `{"label", "score", "scores": {"positive", "neutral", "negative", "compound"}}`. The first
    three scores are the shares of the text in each category, as VADER returns them; they do not decide the
    label. `compound` (-1 to 1) does: positive from 0.05, negative to -0.05, otherwise neutral.
    `score` (0 to 1) is the strength of the label, not a probability: |compound|, for neutral 1 - |compound|.
    """

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """Return one prediction per text, or a RowError for a row that is not text, like an empty cell."""
        return [_predict(text) for text in rows]


def _predict(text: Any) -> dict[str, Any] | RowError:
    if not isinstance(text, str):
        message = "there is no text" if text is None else f"{cells.preview(text)} is not a text"
        return RowError(BAD_ROW, message)
    scores = _analyzer.polarity_scores(text)
    compound = scores["compound"]
    if compound >= POSITIVE_FROM:
        label, score = "positive", compound
    elif compound <= NEGATIVE_FROM:
        label, score = "negative", -compound
    else:
        label, score = "neutral", round(1 - abs(compound), 4)
    return {
        "label": label,
        "score": score,
        "scores": {
            "positive": scores["pos"],
            "neutral": scores["neu"],
            "negative": scores["neg"],
            "compound": compound,
        },
    }


class LinearAnalyzer(SentimentIntensityAnalyzer):  # type: ignore[misc]  # the package has no types
    """VADER's analyzer with the same scores, in linear instead of quadratic time.

    For each sentiment word, the original lowercases all words of the text up to four times: 41 s for 100 000
    characters of prose. The rules look at three words before and two after, so they get only these.
    """

    @staticmethod
    def _special_idioms_check(valence: float, words: list[str], i: int) -> Any:
        around, position = _around(words, i)
        return SentimentIntensityAnalyzer._special_idioms_check(valence, around, position)

    @staticmethod
    def _negation_check(valence: float, words: list[str], start_i: int, i: int) -> Any:
        around, position = _around(words, i)
        return SentimentIntensityAnalyzer._negation_check(valence, around, start_i, position)


def _around(words: list[str], i: int) -> tuple[list[str], int]:
    first = max(i - 3, 0)
    return words[first : i + 3], i - first


# The lexicon is read at import, so once in the fork server, whose memory the children share.
_analyzer: Final = LinearAnalyzer()
