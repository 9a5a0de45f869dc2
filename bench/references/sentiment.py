"""The predictions of both tutorials: VADER, with the label that its documentation gives a compound score."""

from collections.abc import Iterable
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

_analyzer = SentimentIntensityAnalyzer()


def predictions(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return a label, its score and all scores for each text."""
    found = []
    for text in texts:
        scores = _analyzer.polarity_scores(text)
        compound = scores["compound"]
        label = "positive" if compound >= 0.05 else "negative" if compound <= -0.05 else "neutral"
        found.append({"label": label, "score": abs(compound), "scores": scores})
    return found
