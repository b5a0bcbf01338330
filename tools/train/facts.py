"""Facts to plant in a text: sentences that state them, a question, and its answer.

A fact's subject is unique in its text. Wordings vary; a third of the things carry an adjective, so
that facts stand beside others that differ in one word.
"""

import dataclasses
import random

NAMES = (
    "Alice Bob Carol David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nina Oscar Paula "
    "Quentin Rosa Sam Tina Victor Wendy Xavier Yara Zoe Adam Bella Chloe Daniel Elena Felix Gina "
    "Hugo Ivan Julia Kevin Laura Martin Nora Otto Peter Ruth Simon Thomas Ursula Vera Walter"
).split()
THINGS = (
    "locker vault garage office laptop phone safe cabin boat gate tower archive studio warehouse "
    "cellar museum station harbor library greenhouse door chest mill bridge kitchen school "
    "chapel printer server bicycle car truck drawer suitcase barn workshop hotel theater "
    "hospital factory market castle garden lighthouse bakery"
).split()
ADJECTIVES = (
    "red blue green old new small big north south east west first second upper lower".split()
)
CITIES = (
    "Paris London Tokyo Cairo Lima Oslo Rome Delhi Madrid Berlin Sydney Toronto Vienna Dublin "
    "Lisbon Athens Prague Nairobi Seoul Havana Warsaw Geneva Boston Chicago Milan Munich"
).split()
COLORS = "red blue green yellow purple orange black white silver golden pink brown gray".split()
JOBS = (
    "baker teacher pilot doctor farmer painter lawyer singer plumber nurse writer gardener tailor "
    "butcher engineer carpenter dentist judge sailor librarian"
).split()
FOODS = (
    "apples pears figs bread rice cheese honey olives grapes plums carrots beans fish salt pepper "
    "lemons onions nuts eggs milk tea coffee soup cake"
).split()
PETS = "dog cat horse parrot rabbit goat tortoise hamster".split()
PET_NAMES = (
    "Rex Bella Max Luna Rocky Daisy Buddy Molly Charlie Ruby Oscar Coco Simba Nala Milo".split()
)


@dataclasses.dataclass
class Fact:
    subject: str  # unique among the facts of a text
    sentences: list  # each is planted by itself, in this order
    question: str
    before: str  # the answer is before + value + after
    value: str
    after: str = "."


def number(rng, digits=None):
    return "".join(
        rng.choice("0123456789") for _ in range(digits or rng.choice((4, 5, 5, 5, 6, 7)))
    )


def thing(rng):
    noun = rng.choice(THINGS)
    return f"{rng.choice(ADJECTIVES)} {noun}" if rng.random() < 0.33 else noun


def _numbered(rng, subject, what, value, repeats=0.5):
    """Facts of the form "WHAT is VALUE"."""
    capital = what[0].upper() + what[1:]
    sentence = rng.choice(
        (f"{capital} is {value}.",) * 3
        + (f"{capital}: {value}.", f"Remember that {what} is {value}.", f"Note: {what} is {value}.")
    )
    if rng.random() < repeats:
        sentence += rng.choice((f" Remember it. {value} is {what}.", f" {value} is {what}."))
    question = rng.choice(
        (f"What is {what}?",) * 4
        + (f"Can you tell me {what}?", f"Tell me {what}.", f"{capital}?", f"What was {what}?")
    )
    before = rng.choice((f"{capital} is ",) * 4 + ("It is ", ""))
    return Fact(subject, [sentence], question, before, value)


def pass_key(rng):
    return _numbered(rng, "pass key", "the pass key", number(rng), 0.8)


def pass_key_of(rng):
    what = thing(rng)
    return _numbered(rng, f"pass key {what}", f"the pass key of the {what}", number(rng), 0.8)


def code(rng):
    what = thing(rng)
    word = rng.choice(("code", "code", "password", "PIN", "serial number"))
    return _numbered(rng, f"{word} {what}", f"the {word} of the {what}", number(rng), 0.3)


def phone(rng):
    name = rng.choice(NAMES)
    return _numbered(rng, f"phone {name}", f"the phone number of {name}", number(rng), 0.3)


def magic(rng):
    city = rng.choice(CITIES)
    value = number(rng)
    fact = _numbered(rng, f"magic {city}", f"the special magic number for {city}", value, 0.1)
    if rng.random() < 0.5:
        fact.sentences = [f"One of the special magic numbers for {city} is: {value}."]
    return fact


def city(rng):
    name, place = rng.choice(NAMES), rng.choice(CITIES)
    sentence = rng.choice(
        (
            f"{name} lives in {place}.",
            f"{name} has a house in {place}, and lives there.",
            f"The home of {name} is in {place}.",
        )
    )
    question = rng.choice((f"Where does {name} live?", f"In which city does {name} live?"))
    return Fact(f"city {name}", [sentence], question, f"{name} lives in ", place)


def color(rng):
    name, what, value = rng.choice(NAMES), rng.choice(THINGS), rng.choice(COLORS)
    question = rng.choice(
        (f"What color is the {what} of {name}?", f"Which color does the {what} of {name} have?")
    )
    return Fact(
        f"color {name} {what}",
        [f"The {what} of {name} is {value}."],
        question,
        f"The {what} of {name} is ",
        value,
    )


def coins(rng):
    name, what, value = rng.choice(NAMES), thing(rng), number(rng)
    return Fact(
        f"coins {name} {what}",
        [f"{name} keeps {value} coins in the {what}."],
        f"How many coins does {name} keep in the {what}?",
        f"{name} keeps ",
        value,
        f" coins in the {what}.",
    )


def birth(rng):
    name, year = rng.choice(NAMES), str(rng.randrange(1400, 2020))
    return Fact(
        f"birth {name}",
        [f"{name} was born in {year}."],
        rng.choice((f"When was {name} born?", f"In which year was {name} born?")),
        f"{name} was born in ",
        year,
    )


def job(rng):
    name, work = rng.choice(NAMES), rng.choice(JOBS)
    article = "an" if work[0] in "aeio" else "a"
    return Fact(
        f"job {name}",
        [f"{name} works as {article} {work}."],
        rng.choice((f"What is the job of {name}?", f"What does {name} work as?")),
        f"{name} works as {article} ",
        work,
    )


def pet(rng):
    name, animal, called = rng.choice(NAMES), rng.choice(PETS), rng.choice(PET_NAMES)
    return Fact(
        f"pet {name} {animal}",
        [f"The {animal} of {name} is called {called}."],
        f"What is the {animal} of {name} called?",
        f"The {animal} of {name} is called ",
        called,
    )


def shopping(rng):
    name, items = rng.choice(NAMES), rng.sample(FOODS, 3)
    listed = f"{items[0]}, {items[1]} and {items[2]}"
    return Fact(
        f"list {name}",
        [f"{name} bought {listed} at the market."],
        rng.choice((f"What did {name} buy at the market?", f"Which three things did {name} buy?")),
        f"{name} bought ",
        listed,
    )


def chain(rng):
    """Two look-ups: who has the key to which place, and the code of the place."""
    name, what, value = rng.choice(NAMES), thing(rng), number(rng)
    first = f"{name} has the key to the {what}."
    second = f"The door code of the {what} is {value}."
    question = rng.choice(
        (
            f"{name} has a key to a place. What is the door code of that place?",
            f"What is the door code of the place that {name} has the key to?",
        )
    )
    return Fact(
        f"chain {name} {what}",
        rng.sample([first, second], 2),
        question,
        f"{name} has the key to the {what}. The door code of the {what} is ",
        value,
    )


KINDS = {
    pass_key: 3,
    pass_key_of: 5,
    code: 3,
    phone: 2,
    magic: 1,
    city: 1.5,
    color: 1.5,
    coins: 1.5,
    birth: 1,
    job: 1,
    pet: 1,
    shopping: 1,
    chain: 2,
}


def draw(rng, count):
    """`count` facts with different subjects; of one kind in a third of the texts."""
    kinds = list(KINDS)
    if rng.random() < 0.35:
        kinds = [rng.choice([kind for kind in kinds if kind is not pass_key])]
    weights = [KINDS[kind] for kind in kinds]
    facts, subjects = [], set()
    while len(facts) < count:
        fact = rng.choices(kinds, weights)[0](rng)
        # Of a chain's parts neither may be said of another: its name and its place are both taken.
        taken = {fact.subject} | (
            {f"chain {w}" for w in fact.subject.split(" ", 2)[1:]}
            if fact.subject.startswith("chain")
            else set()
        )
        if not taken & subjects:
            subjects |= taken
            facts.append(fact)
    return facts


if __name__ == "__main__":
    generator = random.Random(1)
    for example in draw(generator, 12):
        print(example)
