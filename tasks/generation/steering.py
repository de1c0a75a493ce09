"""What keeps the documents of a set apart: names, an opening, words and a length, drawn for each by its number.

steering = steer(seed=0, number=17, avoid=["Sarah Chen", "In the quiet town of"], least=0, most=0)

The same number draws the same in every run; what is to be avoided changes at the borders of rounds alone.
"""

import random
from typing import NamedTuple

from tasks.generation.writer import as_material


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    """
Abena Adela Agnes Aisha Akira Alma Amir Anouk Arjun Astrid Ayo Beatriz Bence Bilal Birgit Bram Camille Carlos Chidi
Clara Cosmin Dagny Dalia Dariusz Deepa Dilan Dmitri Edith Eino Elif Emeka Esperanza Eun-ji Fadila Farid Fergus Fiona
Gabor Gita Goran Gwen Hana Haruto Hedda Hugo Ibrahim Ilse Imani Indira Ines Isak Ivana Jamal Jelena Joaquin Jun Kaito
Kalina Karim Katya Kofi Lars Latoya Leila Lin Ludmila Luis Maeve Magnus Mairi Malik Marta Mateo Mei Mirek Nadia Naomi
Nikos Niamh Noor Oksana Olu Omar Osman Paolo Petra Priya Quentin Rafael Ragnhild Rania Renata Rohan Rosa Ruth Sabine
Samir Sanna Selma Shirin Sipho Soledad Stefan Svea Tadeusz Tamar Tariq Teresa Thandi Tomas Ulrike Uzma Valentin Vera
Viktor Wanda Wei Xiomara Yara Yiannis Yusuf Zainab Zdenka Zoltan
"""
)
FAMILY_NAMES = _words(
    """
Abbasi Acheampong Adeyemi Aguilar Almeida Andersson Arslan Baptiste Barbosa Bielski Bjork Blackwood Boateng Bose
Brandt Calloway Cardoso Castellanos Chaudhry Cisse Costello Craddock Dahl Danso Demir Desrosiers Diallo Dimitrov
Dlamini Doherty Eriksen Espinoza Fairweather Farkas Ferrante Fofana Fontaine Gallagher Georgiou Ghosh Grzelak
Gustafsson Haddad Hallberg Hashemi Hirano Holub Horvat Ibarra Ingram Iyer Jankowski Jimenez Kaplan Kariuki Kaya Khoury
Kimura Kovacs Kruger Kwon Lachance Lindqvist Lopes Lund Maalouf Macleod Mahlangu Marchetti Mbeki Mensah Mercier
Mokoena Moreau Nakagawa Ndiaye Novak Nyberg Obi Okafor Olsen Onyango Ostrowski Ozturk Papadakis Pereira Petrov Pillai
Pryce Qureshi Radu Rasmussen Reyes Rinaldi Rojas Saito Salazar Sandoval Schreiber Sethi Shaw Silva Sorensen Stavros
Szabo Takeda Tembo Thorne Tran Ueda Ulrich Vasquez Veldman Virtanen Wachira Weiss Wójcik Yilmaz Zhang Zielinski
"""
)
OPENINGS = (
    "with a figure",
    "with a date or a time of day",
    "with a question",
    "with somebody's exact words",
    "with an objection that is then answered",
    "in the middle of a matter that is going on",
    "with a place and what can be seen there",
    "with a thing that lies on a table",
    "with a correction of something said before",
    "with a complaint",
    "with thanks",
    "with an instruction",
    "with a decision and then its reasons",
    "with what somebody did yesterday",
    "with a comparison",
    "with a short sentence of at most five words",
    "with a long sentence that lists several things",
    "with a definition",
    "with a rule and its exception",
    "with a memory",
    "with a reference to another document",
    "with the weather or the season",
    "with a name and what that person does",
    "with what nobody expected",
)
SEED_WORDS = _words(
    """
anchor apron attic bakery balcony barrel bicycle blanket bridge bucket button calendar canal candle carpet chalk
chimney clock copper corridor cupboard curtain drawer engine envelope fence ferry flour frost garage glove gravel
hammer harbour hinge hospital ink jacket kettle kitchen ladder lantern ledger lemon library lock machine map market
mill mirror museum needle notebook oak office orchard oven paint parcel pencil photograph piano pipe platform pocket
pond postcard quarry queue radio railway receipt river road roof rope salt school scissors shelf shop signature silver
snow staircase station storm stove string suitcase table telephone theatre ticket tower tractor train umbrella valley
van village wall warehouse weather wheel window winter wool workshop yard
"""
)
LENGTHS = (120, 180, 250, 350, 500, 700)
"""Words that a document may be asked to have, about."""


class Steering(NamedTuple):
    """What one request is told beside its specification."""

    words: str
    """All of it, for a first version."""
    to_avoid: str
    """What is frequent so far; empty where nothing is."""


def steer(seed: int, number: int, avoid: list[str], least: int = 0, most: int = 0) -> Steering:
    """For the document of this number; with `least` and `most` words, where these are not 0."""
    draw = random.Random(f"{seed}/{number}")
    people = ", ".join(f"{draw.choice(FIRST_NAMES)} {draw.choice(FAMILY_NAMES)}" for _ in range(2))
    opening, seeds = draw.choice(OPENINGS), ", ".join(draw.sample(SEED_WORDS, 3))
    allowed = [n for n in LENGTHS if n >= least * 1.1 and (not most or n <= most * 0.9)]
    length = draw.choice(allowed or [(least + (most or least * 2)) // 2])
    frequent = as_material(frequent="; ".join(avoid))  # words that the writer itself wrote
    to_avoid = f"Too frequent by now, to be avoided:\n{frequent}" if avoid else ""
    told = (
        f"Begin {opening}. Aim at about {length} words. Where people are named whom the description does not name, "
        f"take them from these: {people}. Let one of these play a small part, if it fits: {seeds}."
    )
    return Steering(f"{told} {to_avoid}".strip(), to_avoid)
