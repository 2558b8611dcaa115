"""The names, things and sentences of which stories are made.

Names and things of the two sides have nothing in common; the sentences are the same. In a sentence
`{who}` is the main person or a pronoun, `{name}` always the name, `{friend}` another person, `{n}` a number.
"""

from __future__ import annotations

from collections.abc import Mapping

_SHE = {
    "train": "Ana Cara Ella Gita Iris Lena Nia Pia Sofia Uma Vera Alma Chloe Dora Emma Fatima Grace Hilda Ida Julia "
    "Kira Lucy Maria Nora Olga Priya Rosa Sara Tessa Yuki Zoe",
    "test": "Bianca Dalia Farah Hana Jutta Leila Odette Wanda",
}
_HE = {
    "train": "Ben Dev Finn Hugo Jon Kofi Milo Oren Raj Timo Will Adam Bruno Carl David Emil Felix Gus Henry Ivan Jack "
    "Karim Leo Max Noah Omar Paul Ravi Sam Tom Yusuf",
    "test": "Abel Cyrus Enzo Goran Idris Lorenz Quentin Tariq",
}
NAMES: Mapping[str, tuple[str, ...]] = {side: tuple(f"{_SHE[side]} {_HE[side]}".split()) for side in _SHE}
PRONOUNS: Mapping[str, str] = {
    name: pronoun
    for pronoun, sides in (("she", _SHE), ("he", _HE))
    for names in sides.values()
    for name in names.split()
}
_THINGS = {
    "train": "apples pens books coins marbles stickers cards eggs balls cookies stamps flowers shells pears plums "
    "oranges nuts cakes sweets buttons pencils photos toys stones tickets cups plates keys letters bottles carrots "
    "onions potatoes tomatoes melons hats socks spoons bricks feathers",
    "test": "lemons badges ribbons candles magnets beads walnuts medals postcards whistles mugs turnips kites acorns",
}
THINGS: Mapping[str, tuple[str, ...]] = {side: tuple(things.split()) for side, things in _THINGS.items()}
_HOLDERS = "boxes bags baskets packs jars shelves rows trays bowls crates drawers piles"
HOLDERS = tuple(_HOLDERS.split())

SCENES = (
    "It is a sunny day.",
    "It is raining outside.",
    "{name} likes {thing}.",
    "{name} collects {thing}.",
    "{name} and {friend} are friends.",
    "{name} and {friend} live in the same street.",
    "Today {name} visits {friend}.",
    "{name} is at home with {friend}.",
)
START = (
    "{who} has {n} {thing}.",
    "{who} starts with {n} {thing}.",
    "{who} owns {n} {thing}.",
    "{who} begins the day with {n} {thing}.",
    "At first {who} has {n} {thing}.",
    "There are {n} {thing}, and all of them belong to {name}.",
    "{who} counts {n} {thing} at home.",
    "On the table lie {n} {thing} of {name}.",
)
GROUPS = (
    "{who} has {many} {holder} with {n} {thing} each.",
    "There are {many} {holder}, and {name} puts {n} {thing} into each of them.",
    "{who} buys {many} {holder} of {n} {thing}.",
    "{who} fills {many} {holder} with {n} {thing} each.",
    "{who} has {many} {holder}. Each of them holds {n} {thing}.",
    "{who} owns {many} {holder}, and there are {n} {thing} in each.",
    "In each of {many} {holder} {name} keeps {n} {thing}.",
    "{who} is given {many} {holder}, each with {n} {thing}.",
    "{who} brings home {many} {holder} with {n} {thing} in each.",
)
MORE = (
    "{friend} gives {name} {n} more.",
    "{who} finds {n} more {thing}.",
    "{who} buys {n} more.",
    "{who} gets {n} {thing} from {friend}.",
    "{friend} brings {name} another {n} {thing}.",
    "{who} wins {n} {thing} in a game.",
    "{who} adds {n} more {thing}.",
    "{n} more {thing} come in the post for {name}.",
    "{who} picks up another {n}.",
    "A neighbour hands {name} {n} more {thing}.",
    "{friend} has {n} {thing} too many and passes them to {name}.",
)
FEWER = (
    "{who} gives {n} to {friend}.",
    "{who} loses {n} of them.",
    "{friend} takes {n} {thing}.",
    "{who} sells {n} {thing}.",
    "{n} of the {thing} break, and {name} throws them away.",
    "{who} leaves {n} of them at school.",
    "{who} lends {n} {thing} to {friend}.",
    "{friend} asks {name} for {n} {thing} and gets them.",
    "{who} puts {n} of them away for {friend}.",
    "{who} drops {n} {thing} into the river.",
    "{who} uses {n} of the {thing} up.",
)
DOUBLE = (
    "Then {who} gets as many again.",
    "{who} doubles the number of {thing}.",
    "{friend} gives {name} as many {thing} as {name} has already.",
    "After a visit to the market {who} has twice as many.",
    "{who} finds just as many {thing} again.",
)
SHARE = (
    "{who} shares them equally among {n} people and keeps one part.",
    "{who} makes {n} equal piles and keeps one pile.",
    "{who} splits the {thing} into {n} equal parts and keeps only one part.",
    "Of {n} equal parts {name} keeps one and gives the rest away.",
)
HALF = (
    "{who} gives half of them to {friend}.",
    "{who} shares them equally with {friend}.",
    "{friend} gets half of the {thing}.",
    "{who} sells half of the {thing}.",
)
TIMES = (
    "In the morning",
    "At nine o'clock",
    "Before lunch",
    "At noon",
    "After lunch",
    "In the afternoon",
    "At five o'clock",
    "In the evening",
    "At night",
)
ASK = (
    "How many {thing} does {name} have now?",
    "How many {thing} does {name} have in the end?",
    "How many {thing} has {name} now?",
    "How many {thing} are with {name} now?",
    "What is the number of {thing} that {name} has now?",
    "So how many {thing} does {name} have?",
    "Count the {thing}: how many does {name} have?",
    "How many {thing} does {name} have after all this?",
    "With how many {thing} does {name} end?",
)
ASK_LEFT = ("How many {thing} does {name} have left?", "How many {thing} are left for {name}?")

DRILLS: Mapping[str, tuple[str, ...]] = {
    "+": ("Add {a} and {b}.", "{a} plus {b}?", "What do you get if you add {b} to {a}?", "What is {b} more than {a}?"),
    "-": ("Take {b} from {a}.", "{a} minus {b}?", "Subtract {b} from {a}.", "What is left of {a} without {b}?"),
    "*": ("Multiply {a} by {b}.", "{a} times {b}?", "What are {a} times {b}?", "How much is {a} times {b}?"),
    "/": (
        "Divide {a} by {b}.",
        "{a} divided by {b}?",
        "Share {a} equally among {b}.",
        "How often does {b} go into {a}?",
    ),
}
ANY_DRILL = (
    "What is {a} {sign} {b}?",
    "{a} {sign} {b} =",
    "Calculate {a} {sign} {b}.",
    "How much is {a} {sign} {b}?",
    "{a} {sign} {b}",
)
CHAIN: Mapping[str, tuple[str, ...]] = {
    "start": ("start with {n}", "take {n}", "begin with {n}", "think of {n}"),
    "groups": ("start with {many} times {n}", "take {many} times {n}", "begin with {many} * {n}"),
    "more": ("add {n}", "put {n} more to it", "plus {n}", "count {n} more"),
    "fewer": ("take away {n}", "subtract {n}", "minus {n}", "remove {n}"),
    "double": ("double it", "add as much again", "multiply by 2", "take it twice"),
    "share": ("divide by {n}", "keep one of {n} equal parts", "share it among {n}"),
    "half": ("halve it", "divide by 2", "keep half of it", "keep one of 2 equal parts"),
}
CHAIN_ASK = ("", "What is the result?", "What do you get?", "How much is it?", "What is it now?")
