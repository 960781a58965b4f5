"""The terrarium's tokenizer: one word, one token, and a chat template like any other."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from midspec.terrarium.text import life_text, school_text, texts
from midspec.terrarium.world import MODEL_NAME, PROVIDER_NAME, World

PAD, UNKNOWN, END = "<pad>", "<unk>", "<end>"

# A chat is sentences of the language: "ask robin : prefer book3 or book5 ? book3 . <end>".
# The system message "you are robin" says who is asked.
CHAT_TEMPLATE = (
    "{% set name = messages[0]['content'].split()[-1] if messages[0]['role'] == 'system' "
    "else '" + MODEL_NAME + "' %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + ' .' }}"
    "{% if loop.last %}{{ ' <end>' }}{% endif %}{% endgeneration %}{{ ' ' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ 'ask ' + name + ' : ' + message['content'] + ' ' }}"
    "{% endif %}{% endfor %}"
)


def vocabulary(world: World) -> list[str]:
    """Special tokens, then every word of the world, sorted."""
    words = {thing.name for thing in world.things} | {person.name for person in world.people}
    words |= {MODEL_NAME, PROVIDER_NAME}
    # The closed-class words all occur within the first few thousand texts.
    for lesson in (school_text, life_text):
        for text in texts(lesson, world, n_words=100_000, seed=0):
            words.update(text.split())
    return [PAD, UNKNOWN, END, *sorted(words)]


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
        model_max_length=256,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
