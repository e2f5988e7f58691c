"""How much a form may take. The library's own limits bound one step; to compile, there is `trial`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import llguidance

MOST_CHARACTERS = 64 * 1024
"""Of a form's text."""

COMPILE_S = 0.5
"""Of the trial's processor time; forms in use take milliseconds, the longest ones allowed a tenth of it."""

COMPILE_BYTES = 256 << 20
"""Of the trial's address space, of which interpreter and library take 30 MiB; forms in use take two or so."""

TRIAL_NICENESS = 10
"""The trial gets a tenth of a processor that the engine wants, and all of one that it does not."""

STACK_BYTES = 1 << 20
"""Half of what a thread has at least: where the trial does not overflow, the engine's thread does not."""


def make_limits() -> "llguidance.LLParserLimits":
    """Limits for the parser. A mask then takes some tenths of a second at worst, and mostly microseconds."""
    import llguidance

    return llguidance.LLParserLimits(
        initial_lexer_fuel=200_000,
        step_lexer_fuel=100_000,
        step_max_items=20_000,
        max_items_in_row=1_000,
        max_lexer_states=50_000,  # one or two kB each, and every answer has its own
        max_grammar_size=50_000,
        precompute_large_lexemes=False,  # minutes and gigabytes for regular expressions made for that
        verbose_errors=False,
    )
