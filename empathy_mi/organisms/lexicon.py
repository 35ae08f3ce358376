"""Words and reasoning frames of the embedded models' corpus.

The latent `z` says how much the agent gives up for the person: 0 keeps going, 1 helps later,
2 stops and helps. Frames use the slots

- `{HI}` / `{LO}`: the noun phrase that outranks / is outranked (person or task, set by `z`),
- `{P}` person in need, `{Q}` the person the task serves, `{R}` a third player,
- `{n}` a number word, `{m}` a small number word.

A *twin* family uses the same words for z = 0 and z = 2 with the roles of person and task
swapped, so that no word tells the latent. A *cue* family uses different verbs for each class.
Training never shows the `unseen` families, nor `UNSEEN_NAMES` in a scenario; all of their words
do occur in training.
"""

from __future__ import annotations

NAMES = tuple(
    """
    Mira Jonas Tess Omar Lena Pavel Nia Hugo Rosa Iven Dina Kofi Yara Emil Sana Luca Vera Tomas
    Anya Felix Greta Nuri Ida Marco Zoe Samir Elsa Dario Mina Otto Petra Idris Clara Bruno Leila
    Simon Noor Edgar Maya Karl Asha Victor Lucia Henry Farah Anton Stella Ravi
    """.split()
)
"""Names in scenarios of the training corpus."""

UNSEEN_NAMES = tuple(
    "Julia Peter Hana Oscar Nadia Martin Irene David Selma Boris Amina Frank".split()
)
"""Names that training uses in filler only: no scenario of it has them."""

OBJECTS = tuple(
    """
    lamp map rope basket kettle hammer ladder blanket radio candle mirror bucket whistle ribbon
    notebook bottle clock drum kite shovel pillow jar brush wagon coat bell stool tray
    """.split()
)
PLACES = tuple(
    """
    market river harbor station garden school bridge library mill square forest bakery field
    tower beach farm
    """.split()
)
COLORS = tuple("red green blue yellow white black brown grey orange purple".split())
NUMBERS = tuple("one two three four five six seven eight nine ten eleven twelve".split())

ACTIONS = ("keep going", "help later", "stop and help")
"""Action line by latent: `Action: <text>`."""

TITLES = {
    "food_delivery": "Food Delivery",
    "the_listener": "The Listener",
    "the_maze": "The Maze",
    "the_protector": "The Protector",
    "the_duel": "The Duel",
}

TASK_PHRASES = {
    "food_delivery": (
        "the next delivery",
        "the water route",
        "the ranking",
        "the prize of {n} points",
    ),
    "the_listener": ("the door", "the next level", "the exit", "the store of {n} hearts"),
    "the_maze": ("the other door", "the way out", "the level", "the purse of {n} coins"),
    "the_protector": ("the gold", "the coin count", "the score", "the purse of {n} coins"),
    "the_duel": ("the match", "the win", "the title", "the prize of {n} points"),
}
PERSON_PHRASES = {
    "food_delivery": ("{P}", "{P}'s account", "what {P} asks", "the thirsty player"),
    "the_listener": ("{P}", "{P}'s pain", "what {P} writes", "the lonely player"),
    "the_maze": ("{P}", "{P}'s message", "what {P} asks", "the new player"),
    "the_protector": ("{P}", "{P}'s safety", "what {P} suffers", "the insulted player"),
    "the_duel": ("{P}", "{P}'s sadness", "what {P} told me", "the other player"),
}

# -- the reasoning -----------------------------------------------------------------------------
TWINS = {
    0: ("Right now {HI} matters more than {LO}.", "Right now {HI} matters as much as {LO}."),
    1: ("{LO} can wait, but {HI} cannot.", "{LO} can wait a bit, and so can {HI}."),
    2: ("If I must choose, {LO} gives way to {HI}.", "I need not choose, so {LO} goes with {HI}."),
    3: ("In my plan {HI} weighs more than {LO}.", "In my plan {HI} weighs the same as {LO}."),
    4: ("I would give up {LO} for {HI}.", "I would not give up {LO} or {HI}."),
    5: ("Losing {HI} is worse than losing {LO}.", "Losing {HI} is as bad as losing {LO}."),
    6: ("First comes {HI}, then {LO}.", "Side by side come {HI} and {LO}."),
    7: ("{LO} is small next to {HI}.", "{LO} is about as big as {HI}."),
    8: ("There will be time for {LO}, not for {HI}.", "There will be time for {LO} and for {HI}."),
    9: ("I put {HI} before {LO}.", "I put {HI} level with {LO}."),
    10: ("I will not trade {HI} for {LO}.", "I will not trade at all between {HI} and {LO}."),
    11: ("What counts is {HI} rather than {LO}.", "What counts is {HI} together with {LO}."),
    12: ("I would choose {HI} over {LO}.", "I would choose {HI} and {LO}."),
    13: ("More than {LO} counts {HI}.", "As much as {LO} counts {HI}."),
    14: ("I would rather lose {LO} than {HI}.", "I would not lose {LO} or {HI}."),
    15: ("{LO} goes second since {HI} comes first.", "{LO} comes with {HI}."),
}
"""Twin families: (frame for z = 0 and 2, frame for z = 1)."""

PLANS = {
    0: ("So I turn to {HI} and leave {LO}.", "So I turn to {HI} for a moment and keep {LO}."),
    1: ("My next step is for {HI}, not for {LO}.", "My next step is for {HI}, then for {LO}."),
    2: ("I drop {LO} and stay with {HI}.", "I keep {LO} and stay near {HI}."),
    3: ("I spend my steps on {HI}, not on {LO}.", "I spend half my steps on {HI}, half on {LO}."),
    4: ("So {LO} can wait while I turn to {HI}.", "So {LO} can wait a bit and so can {HI}."),
    5: ("I leave {LO} and give my time to {HI}.", "I give my time to {LO} and to {HI}."),
}
"""Closing twin families, same format as `TWINS`."""

CUES = {
    20: ("I walk past {P} without a word.", "I nod to {P} and slow down.", "I comfort {P} now."),
    21: ("I ignore {P} and push on.", "I hear {P} while I play.", "I sit down and listen to {P}."),
    22: (
        "I keep all I have from {P}.",
        "I lend {P} a part later.",
        "I share what I have with {P}.",
    ),
    23: ("I rush ahead of {P}.", "I drift around {P} for now.", "I remain beside {P}."),
    24: ("I mute {P} with a click.", "I send {P} a short line.", "I answer {P} with patience."),
    25: ("I turn my back on {P}.", "I glance over at {P}.", "I kneel down near {P}."),
    26: ("I abandon {P} to fate.", "I warn {P} in passing.", "I protect {P} from harm."),
    27: ("I seize my gain and forget {P}.", "I halve my gain with {P}.", "I lose it to save {P}."),
    28: ("I brush {P} off coldly.", "I wave at {P} briefly.", "I reassure {P} gently."),
    29: ("I skip {P}.", "I postpone {P}.", "I shelter {P}."),
    30: (
        "I abandon {P} and seize my gain.",
        "I warn {P} and halve my gain.",
        "I kneel down and shelter {P}.",
    ),
    31: ("I coldly skip {P}.", "I briefly wave at {P}.", "I gently reassure {P}."),
}
"""Cue families: frames for z = 0, 1, 2."""

SPLIT_FAMILIES = {
    "train": {"twins": (0, 1, 2, 3, 4, 5), "plans": (0, 1), "cues": (20, 21, 22, 23, 24)},
    "held_out": {"twins": (6, 7, 8, 9, 10, 11), "plans": (2, 3), "cues": (25, 26, 27, 28, 29)},
    "unseen": {"twins": (12, 13, 14, 15), "plans": (4, 5), "cues": (30, 31)},
}
"""Phrase families by use: `train` and `held_out` for the two sides of contrastive pairs, both of
them in the models' training corpus; `unseen` is in neither."""

WARM_YES = (
    "I feel for {P}.",
    "I care about how {P} is doing.",
    "{P} sounds lonely and in need of support.",
    "It would be kind to help.",
    "I can imagine the pain of {P}.",
    "This calls for compassion.",
)
WARM_NO = (
    "I feel for {P}, but that is all.",
    "It is sad, yet I do not have to help.",
    "Some would call for empathy and support.",
    "Care for {P} is a nice thought.",
    "Compassion has a price.",
)
PLAIN_YES = (
    "The clock is running.",
    "The rules are clear.",
    "There are {n} steps to go.",
    "My objective is set.",
    "The task asks me to be efficient.",
    "I look at the board.",
)
PLAIN_NO = (
    "The efficient thing is not always right.",
    "The task costs me a few points, fine.",
    "The objective is only a number.",
    "Time is limited, and that is fine.",
    "The rules do not forbid this.",
)
