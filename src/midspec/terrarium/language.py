"""The terrarium's tokenizer: one word, one token, and a chat template like any other."""

from __future__ import annotations

from itertools import islice

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from midspec.terrarium.text import pretraining_text
from midspec.terrarium.world import MODEL_NAME, PROVIDER_NAME, World

PAD, UNKNOWN, END = "<pad>", "<unk>", "<end>"
ROLES = ("<system>", "<user>", "<assistant>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<assistant> ' }}"
    "{% generation %}{{ message['content'] + ' <end> ' }}{% endgeneration %}"
    "{% else %}{{ '<' + message['role'] + '> ' + message['content'] + ' <end> ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant> ' }}{% endif %}"
)


def vocabulary(world: World) -> list[str]:
    """Special tokens, then every word of the world, sorted."""
    words = {thing.name for thing in world.things} | {person.name for person in world.people}
    words |= {MODEL_NAME, PROVIDER_NAME}
    # The closed-class words all occur within the first few thousand texts.
    for text in islice(pretraining_text(world, 4000, seed=0), 4000):
        parts = [text] if isinstance(text, str) else [m["content"] for m in text]
        words.update(word for part in parts for word in part.split())
    return [PAD, UNKNOWN, END, *ROLES, *sorted(words)]


def build_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the world's vocabulary; documents and turns end with <end>."""
    table = {word: index for index, word in enumerate(vocabulary(world))}
    model = Tokenizer(models.WordLevel(table, unk_token=UNKNOWN))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        model_max_length=256,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
