import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_node.stops import StopMatcher

TEXTS = st.text(alphabet="ab.", max_size=20)
STOPS = st.lists(st.text(alphabet="ab.", min_size=1, max_size=4), max_size=3)


def answer(pieces: list[str], stops: list[str], *, keeps: bool = False) -> tuple[str, str | None]:
    matcher = StopMatcher(stops, keeps=keeps)
    shown = ""
    for piece in pieces:
        shown += matcher.push(piece)
        if matcher.matched:
            return shown, matcher.matched
    return shown + matcher.flush(), None


@pytest.mark.parametrize(
    ("pieces", "stops", "shown", "matched"),
    [
        (["one two"], [], "one two", None),
        (["one two"], [" "], "one", " "),
        (["one", " t", "wo three"], ["two"], "one ", "two"),
        (["one t", "wine"], ["two"], "one twine", None),
        (["aab"], ["b", "ab"], "a", "ab"),
        (["ab", "c"], ["abc", "b"], "a", "b"),
        (["abc"], ["abc", "b"], "a", "b"),
        (["\n", "\n", "x"], ["\n\n"], "", "\n\n"),
    ],
    ids=[
        "without stop strings all passes",
        "text from the stop string on is left out",
        "a stop string may come in pieces",
        "what only began like one is given back",
        "of two that end together the longer one counts",
        "the one that is complete first counts",
        "and that does not depend on the cutting",
        "a doubled character is found",
    ],
)
def test_an_answer_ends_where(pieces: list[str], stops: list[str], shown: str, matched: str | None) -> None:
    assert answer(pieces, stops) == (shown, matched)


@given(st.lists(TEXTS, max_size=6), STOPS)
def test_however_a_text_is_cut_the_answer_is_the_same(pieces: list[str], stops: list[str]) -> None:
    assert answer(pieces, stops) == answer(["".join(pieces)], stops) == answer(list("".join(pieces)), stops)


@given(TEXTS, STOPS)
def test_the_answer_is_the_text_up_to_the_first_complete_stop_string(text: str, stops: list[str]) -> None:
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    whole = text[: ends[0]] if ends else text
    longest = max((len(stop) for stop in stops if ends and whole.endswith(stop)), default=0)

    stop = whole[len(whole) - longest :] or None
    assert answer([text], stops) == (whole[: len(whole) - longest], stop)
    assert answer([text], stops, keeps=True) == (whole, stop)


@given(TEXTS, TEXTS, STOPS)
def test_a_stop_string_that_is_complete_too_early_is_text(early: str, late: str, stops: list[str]) -> None:
    """It may begin early, though."""
    matcher = StopMatcher(stops, keeps=True)
    shown = matcher.push(early, may_end=False)
    assert matcher.matched is None

    shown += matcher.push(late)
    whole = early + late
    ends = (end for end in range(len(early) + 1, len(whole) + 1) if whole[:end].endswith((*stops, "\0")))
    assert shown + matcher.flush() == whole[: next(ends, None)]


@given(TEXTS, STOPS)
def test_only_what_may_still_become_a_stop_string_is_held_back(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    shown = matcher.push(text)

    held = "" if matcher.matched else text[len(shown) :]
    assert held == "" or any(stop.startswith(held) for stop in stops)
