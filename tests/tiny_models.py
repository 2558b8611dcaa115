"""Tiny models with random weights, made in a moment: a BERT and a Llama of two layers, with their tokenizers."""

from assistant.evaluation.outcomes import Sample
from assistant.finetuning.classifiers.rows import TrainingRows

WORDS = (
    *("good", "great", "lovely", "superb", "witty", "warm", "bad", "dull", "awful", "tedious", "flat", "poor"),
    *("a", "the", "film", "plot", "acting", "was", "is", "and", "very", "really", "same", "other"),
)
GOOD, BAD, NEUTRAL = WORDS[:6], WORDS[6:12], WORDS[12:]
LAYERS, WIDTH = 2, 32
PLACES = 64


def bert_tokenizer():
    """Return a BERT tokenizer of few words, with separators and token types."""
    from transformers import BertTokenizerFast

    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = {word: place for place, word in enumerate((*specials, *WORDS))}
    return BertTokenizerFast(vocab=vocabulary, model_max_length=PLACES)


def word_tokenizer():
    """Return a tokenizer of few words with an end of text and no token to fill up with, as Llama's."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: place for place, word in enumerate(("<s>", "</s>", "<unk>", *WORDS))}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=PLACES
    )


def save_bert(folder, seed=0):
    """Return the folder of a saved tiny BERT, as an encoder without a head."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = bert_tokenizer()
    torch.manual_seed(seed)
    shape = {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=PLACES, pad_token_id=0, **shape)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_llama(folder, seed=0):
    """Return the folder of a saved tiny Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = word_tokenizer()
    torch.manual_seed(seed)
    shape = {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 64}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=PLACES, bos_token_id=0, eos_token_id=1, **shape
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def reviews(count, seed=0, prefix="r"):
    """Return reviews of few words; half of them say good things and half bad ones."""
    import random

    draw = random.Random(f"{prefix} {seed}")
    found = []
    for at in range(count):
        label = ("negative", "positive")[at % 2]
        words = [*draw.choices(NEUTRAL, k=draw.randint(2, 6)), draw.choice(GOOD if at % 2 else BAD)]
        draw.shuffle(words)
        found.append(Sample(f"{prefix}{at}", {"text": " ".join(words)}, (label,)))
    return found


def pairs(count, seed=0, prefix="p"):
    """Return pairs of sentences: equivalent ones say the same word in both."""
    import random

    draw = random.Random(f"{prefix} {seed}")
    found = []
    for at in range(count):
        one, other = draw.sample((*GOOD, *BAD), 2)
        second = one if at % 2 else other
        inputs = {"sentence1": f"the film is {one}", "sentence2": f"a {second} film"}
        found.append(Sample(f"{prefix}{at}", inputs, (("no", "yes")[at % 2],)))
    return found


def review_rows(train=32, dev=12):
    """Return reviews to train on and reviews kept aside."""
    return TrainingRows(
        "sentiment", ("text",), ("negative", "positive"), tuple(reviews(train)), tuple(reviews(dev, prefix="d"))
    )


def pair_rows(train=32, dev=12):
    """Return pairs to train on and pairs kept aside."""
    return TrainingRows(
        "paraphrase",
        ("sentence1", "sentence2"),
        ("no", "yes"),
        tuple(pairs(train)),
        tuple(pairs(dev, prefix="d")),
    )
