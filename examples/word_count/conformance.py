"""What the conformance suite of kinds needs to know: a request, and the result of its job."""

from typing import Final

from tests.conformance.cases import KindCase

KIND_CASES: Final = {
    "word_count": KindCase(
        request={"texts": ["to be or", "not to be", "let it be"], "batch_size": 1, "top": 1},
        result={"words": 9, "different_words": 6, "most_common": [{"word": "be", "count": 3}]},
    )
}
