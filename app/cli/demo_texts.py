"""Texts for the demo: made-up customer reviews, all different."""

import random
from typing import Final

_OPENINGS: Final = (
    "I ordered {thing} last week.",
    "Today {thing} arrived!",
    "About {thing}:",
    "Second time I buy {thing} here.",
    "A gift for my sister, {thing}.",
    "The shop promised {thing} by Friday.",
)
_THINGS: Final = (
    "the blue kettle",
    "a standing desk",
    "two bicycle lamps",
    "the headphones",
    "a wool coat",
    "the tent",
)
_OPINIONS: Final = (
    "It works wonderfully and I love it.",
    "Absolutely perfect, thank you so much 😊",
    "Better than I had hoped, great quality!",
    "It does what it says.",
    "It is made of metal and weighs two kilos.",
    "The parcel had the right label on it.",
    "It broke after one day. Terrible.",
    "I am very disappointed and want my money back.",
    "Worst purchase I ever made!!!",
    "Not bad, but not good either.",
    "The colour is nice; the handle is awful.",
    "NEVER again, what a horrible experience :(",
)
_ENDINGS: Final = ("", " Delivery took {days} days.", " I paid {days}0 for it.", " Order number {number}.")


def make_texts(count: int, *, seed: int = 0) -> list[str]:
    """Make `count` different short English texts, the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311  # picks sentences, guards nothing
    texts: dict[str, None] = {}
    while len(texts) < count:
        opening = dice.choice(_OPENINGS).format(thing=dice.choice(_THINGS))
        ending = dice.choice(_ENDINGS).format(days=dice.randint(2, 9), number=dice.randint(10_000, 99_999))
        texts[f"{opening} {dice.choice(_OPINIONS)}{ending}"] = None
    return list(texts)
