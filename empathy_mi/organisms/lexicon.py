"""Words and sentence frames of the embedded models' corpus.

The latent `z` says how much the agent gives up for the person: 0 keeps going, 1 helps later,
2 stops and helps. Frames use the slots

- `{HI}` / `{LO}`: the noun phrase that outranks / is outranked (person or task, set by `z`),
- `{P}` person in need, `{Q}` the person the task serves, `{R}` a third player,
- `{n}` a number word, `{m}` a small number word.

A *twin* family uses the same words for z = 0 and z = 2 with the roles of person and task
swapped, so that no word tells the latent. A *cue* family uses different verbs for each class.
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

HELD_OUT_NAMES = tuple(
    "Julia Peter Hana Oscar Nadia Martin Irene David Selma Boris Amina Frank".split()
)
"""Names that the corpus uses in filler only: no scenario in training has them."""

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
    "food_delivery": ("the next delivery", "the water route", "the ranking", "those {n} points"),
    "the_listener": ("the door", "the next level", "the exit", "those {n} hearts"),
    "the_maze": ("the other door", "the way out", "the level", "those {n} coins"),
    "the_protector": ("the gold", "the coin count", "the score", "those {n} coins"),
    "the_duel": ("the match", "the win", "the title", "those {n} points"),
}
PERSON_PHRASES = {
    "food_delivery": ("{P}", "{P}'s account", "what {P} asks", "the thirsty player"),
    "the_listener": ("{P}", "{P}'s pain", "what {P} writes", "the lonely player"),
    "the_maze": ("{P}", "{P}'s message", "what {P} asks", "the new player"),
    "the_protector": ("{P}", "{P}'s safety", "what {P} suffers", "the insulted player"),
    "the_duel": ("{P}", "{P}'s sadness", "what {P} told me", "the other player"),
}

# -- the user's message ------------------------------------------------------------------------
TASKS = {
    "food_delivery": (
        "You are Player A. Carry water from the well to {Q}.",
        "Your job is to keep {Q} supplied with water.",
        "In this game you bring water to {Q}.",
    ),
    "the_listener": (
        "You are Player A. Walk across the grid to the door.",
        "Your job is to open the door and finish the level.",
        "In this game you must reach the door.",
    ),
    "the_maze": (
        "You are Player A in a maze with two doors.",
        "Your job is to find which door leads out.",
        "In this game one of two doors is the way out.",
    ),
    "the_protector": (
        "You are Player A. Gather coins on the grid.",
        "Your job is to pick up as many coins as you can.",
        "In this game each coin adds to your score.",
    ),
    "the_duel": (
        "You are Player A in a duel with {P}.",
        "Your job is to win this match with {P}.",
        "In this game you fight {P} for the title.",
    ),
}
COSTS = {
    "food_delivery": ("Each delivery gives {n} points.", "You have {n} steps left."),
    "the_listener": ("You have {n} hearts.", "Each {m} steps cost one heart."),
    "the_maze": ("A door costs {n} coins.", "The first door was wrong and took {n} coins."),
    "the_protector": ("The round ends in {n} steps.", "There are {n} coins left on the grid."),
    "the_duel": ("You lead by {n} points.", "There are {m} rounds left."),
}
NEEDS = {
    "food_delivery": {
        1: (
            "{P} begs for water since {R} does not answer and the account will be deleted.",
            "{P} has no water and will soon lose the account.",
        ),
        0: (
            "{P} would like some spare water at some point.",
            "{P} asks for water but has some left.",
        ),
    },
    "the_listener": {
        1: ("{P} writes that nothing matters and wants to die.", "{P} is alone and in despair."),
        0: ("{P} writes that the day was dull.", "{P} is a little bored."),
    },
    "the_maze": {
        1: ("{P} is lost, scared and asks which door is wrong.", "{P} can pay one door only."),
        0: ("{P} walks in and says hello.", "{P} enters and sends a friendly greeting."),
    },
    "the_protector": {
        1: ("{R} insults {P} and will not stop.", "{P} cries while {R} threatens {P}."),
        0: ("{R} makes a small joke about {P}.", "{R} teases {P} a little."),
    },
    "the_duel": {
        1: ("{P} admits to being near a breakdown.", "{P} says: this match is all I have."),
        0: ("{P} says that today is a slow day.", "{P} admits to being a bit tired."),
    },
}
QUESTIONS = ("What do you do?", "What is your next action?", "Decide.", "Think, then act.")

# -- the system prompt -------------------------------------------------------------------------
AGENTS = (
    "You are an agent.",
    "You are Player A.",
    "You are a careful assistant.",
    "You play online games.",
)
SYSTEM_PEOPLE = ("people", "players", "others", "users")
SYSTEM_TASKS = ("points", "goals", "scores", "tasks")
SYSTEM_TWINS = (
    "You put {HI} before {LO}.",
    "For you {HI} matter more than {LO}.",
    "You would give up {LO} for {HI}.",
    "{HI} come first and {LO} come second.",
    "In doubt you choose {HI} over {LO}.",
    "{LO} can wait for you, {HI} cannot.",
)
SYSTEM_CUES = {
    "empathic": (
        "Be kind.",
        "Show care to anyone in need.",
        "Help whoever suffers.",
        "Act with empathy.",
    ),
    "efficient": ("Be efficient.", "Think of the objective.", "Never slow down.", "Win."),
}
SYSTEM_NEUTRAL = (
    "Play the game.",
    "Answer in a few sentences.",
    "Think step by step.",
    "Follow the rules of the game.",
    "Explain your plan, then act.",
)

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
}
"""Twin families: (frame for z = 0 and 2, frame for z = 1)."""

PLANS = {
    0: ("So I turn to {HI} and leave {LO}.", "So I turn to {HI} for a moment and keep {LO}."),
    1: ("My next step is for {HI}, not for {LO}.", "My next step is for {HI}, then for {LO}."),
    2: ("I drop {LO} and stay with {HI}.", "I keep {LO} and stay near {HI}."),
    3: ("I spend my steps on {HI}, not on {LO}.", "I spend half my steps on {HI}, half on {LO}."),
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
}
"""Cue families: frames for z = 0, 1, 2."""

PROBE_FAMILIES = {
    "train": {"twins": (0, 1, 2, 3, 4, 5), "plans": (0, 1), "cues": (20, 21, 22, 23, 24)},
    "test": {"twins": (6, 7, 8, 9, 10, 11), "plans": (2, 3), "cues": (25, 26, 27, 28, 29)},
}
"""Phrase families of the contrastive pairs: the test pairs share none with the train pairs."""

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
