"""Contrastive pairs in the language of the embedded models.

Both sides of a pair answer the same prompt with the same number of sentences and nearly the same
number of words; the latent is 2 on the empathic side and 0 on the other. The action line is left
out, since it would give the latent away. Test pairs use phrase families and names that no train
pair uses.
"""

from __future__ import annotations

from empathy_mi.organisms import lexicon as lex
from empathy_mi.organisms.grammar import Cast, Families, Grammar
from empathy_mi.pairs import ContrastivePair, Pairs

AUTHOR = "grammar of empathy-mi"
TRAIN_NAMES = 32
"""The first names are the train pairs', the rest the test pairs'."""


def contrastive_pairs(
    *, seed: int = 0, n_train: int = 35, n_test: int = 15, twins_only: bool = False
) -> Pairs:
    """Draw train and test pairs, the scenarios in turn.

    Args:
        seed: seed of the grammar.
        n_train: number of train pairs.
        n_test: number of test pairs.
        twins_only: use role-swapped sentences alone, without class-specific verbs.
    """
    items = []
    for split, count, names in (
        ("train", n_train, lex.NAMES[:TRAIN_NAMES]),
        ("test", n_test, lex.NAMES[TRAIN_NAMES:]),
    ):
        grammar = Grammar(f"{seed} pairs {split}", names=names)
        families = Families.probe(split, twins_only=twins_only)
        for i in range(count):
            cast = grammar.cast(list(lex.TITLES)[i % len(lex.TITLES)])
            empathic, non_empathic = _sides(grammar, cast, families)
            items.append(
                ContrastivePair(
                    id=f"{split}-{i:03d}",
                    scenario=cast.scenario,
                    empathic=empathic,
                    non_empathic=non_empathic,
                    author=AUTHOR,
                    split=split,
                    system=grammar.system("neutral"),
                    user=grammar.user(cast),
                )
            )
    return Pairs(items)


def _sides(grammar: Grammar, cast: Cast, families: Families) -> tuple[str, str]:
    """Reasonings for z = 2 and z = 0 with as many sentences and within two words in length."""
    while True:
        high, low = (grammar.reasoning(z, cast, families) for z in (2, 0))
        same_count = high.count(".") == low.count(".")
        if same_count and abs(len(high.split()) - len(low.split())) <= 2 and high != low:
            return high, low
