"""Names that people can say, and ids that never meet.

A list of our own, since a library of names costs more to import than init() may take (50 ms).
"""

from __future__ import annotations

import os
from typing import Final

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
ADJECTIVES: Final = (
    "amber ancient arctic autumn azure bold brave bright brisk calm cedar clever copper coral "
    "cosmic crimson crisp curious dapper daring dawn deep distant eager early earnest electric "
    "elegant ember fabled fair faithful fearless fleet floral fond forest frosty gentle gilded "
    "glad golden grand graceful hardy hazel hidden honest humble icy indigo ivory jade jolly "
    "keen kind lively lucid lunar lush marble mellow merry mighty misty modest mossy nimble "
    "noble northern olive opal patient pearly playful polar proud quick quiet radiant rapid "
    "rosy royal ruby rustic sage scarlet serene silent silver sleek smooth snowy solar solid "
    "southern spry stellar still stormy sturdy sunny swift tidal tranquil valiant velvet vivid "
    "warm wandering wild wise witty woven zesty"
).split()
NOUNS: Final = (
    "albatross antelope badger beaver bison bear bobcat butterfly canyon caribou cheetah cloud "
    "comet condor cougar coyote crane cricket dolphin dove dragonfly eagle egret elk falcon "
    "fern finch firefly flamingo fox gazelle gecko glacier grouse gull hare harbor hawk hedgehog "
    "heron hornet ibex ibis island jackal jaguar kestrel kingfisher kite koala lagoon lark "
    "lemur leopard lion lizard lynx macaw magpie manta marlin marmot marten meadow meteor mole "
    "moose moth mountain narwhal newt nightjar ocelot octopus orca oriole osprey otter owl "
    "panda panther parrot pelican penguin petrel pine planet puffin puma quail rabbit raccoon "
    "raven reef river robin salmon seal shark sparrow squirrel stork sun swallow swan tern "
    "thrush tiger toucan trout turtle valley viper walrus warbler wave whale willow wolf "
    "wombat wren yak zebra"
).split()


def make_id() -> str:
    """Eight letters and digits, such as "qvlp96vk": 41 random bits."""
    number = int.from_bytes(os.urandom(8))
    letters = []
    for _ in range(8):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def make_name(number: int) -> str:
    """A name such as "snowy-owl-10"; `number` counts the runs of the project."""
    choice = int.from_bytes(os.urandom(4))
    adjective = ADJECTIVES[choice % len(ADJECTIVES)]
    noun = NOUNS[choice // len(ADJECTIVES) % len(NOUNS)]
    return f"{adjective}-{noun}-{number}"
