"""What the language domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.nlp"


@hookimpl
def register_tasks(register: Register) -> None:
    shipped = {
        "char_lm": ("char_lm:CharLanguageModel", "Predict the next character, and write text"),
        "word_lm": ("word_lm:WordLanguageModel", "Predict the next word, and write text"),
        "tree_lstm": ("similarity:TreeSimilarity", "Tell how alike two sentences are, by trees"),
    }
    for name, (target, summary) in shipped.items():
        register(f"nlp.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_models(register: Register) -> None:
    shipped = {
        "char_lm": ("char_lm:CharModel", "Recurrent layers over characters: rnn, lstm or gru"),
        "word_lm": ("word_lm:WordModel", "Recurrent layers over words, tied weights, AWD dropout"),
        "tree_lstm": ("tree_lstm:TreeLSTM", "Child-sum Tree-LSTM over trees, batched by depth"),
    }
    for name, (target, summary) in shipped.items():
        register(f"nlp.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "text": ("text:Text", "Your own text; else chapters of Alice in Wonderland, shipped"),
        "time_machine": ("text:TimeMachine", "The Time Machine by H. G. Wells, from a file"),
        "ptb": ("text:PennTreebank", "Penn Treebank, 10,000 words, from a folder"),
        "wikitext2": ("text:WikiText2", "WikiText-2, two million words, from a folder"),
        "sick": ("sick:Sick", "SICK, sentence pairs with relatedness, from a folder"),
        "conllu": ("sick:Conllu", "Your own sentence pairs as CoNLL-U trees"),
        "grammar": ("grammar:Grammar", "Sentence pairs of a small grammar, generated"),
    }
    for name, (target, summary) in shipped.items():
        register(f"nlp.{name}", f"{HERE}.{target}", summary=summary)
