"""A byte-level BPE tokenizer, trained on the spot, in Hugging Face's layout."""

import keyword
from collections.abc import Iterable

from dev.model.corpus import Lesson
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# Keywords, special methods, the parts of other names, digits, signs, line ends, spaces. A space is part of
# the keyword or sign before it, never of the word behind it, as in larger models' tokenizers: so a prompt may
# end with one (`def `) and still look like what the model has learnt from.
WORDS = (
    rf"(?:{'|'.join(keyword.kwlist)}) |__\p{{L}}+__|_?\p{{L}}+"
    r"|\p{N}|[^\s\p{L}\p{N}_]+ ?|_+|\s*[\r\n]+|\s+"
)
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def train(texts: Iterable[str], vocab_size: int, max_position: int) -> PreTrainedTokenizerFast:
    """Learns the merges from the texts; every byte has a token, so any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers types half of itself
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=max_position,
        clean_up_tokenization_spaces=False,
    )


def as_chat(lesson: Lesson) -> str:
    """A lesson as the chat template would print it."""
    return (
        f"{TURN_START}user\n{lesson.question}{TURN_END}\n{TURN_START}assistant\n{lesson.answer}{TURN_END}\n"
    )
