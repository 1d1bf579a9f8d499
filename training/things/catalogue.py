"""Which things there are, what they are called, and where they stand. Names are those of the icon packs."""

from __future__ import annotations

import re
from collections.abc import Sequence

CATEGORIES = (
    "Activities",
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Smileys & Emotion",
    "Travel & Places",
)
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
DEFAULT_TONE = "medium-light"
"""The skin of somebody of whom nothing is said."""

_PEOPLE = (
    "man woman boy girl child baby person old-man old-woman older-person prince princess person-with-crown man-beard "
    "man-red-hair woman-red-hair man-blonde-hair woman-blonde-hair man-bald man-curly-hair woman-curly-hair "
    "woman-with-headscarf man-wearing-turban person-with-skullcap"
).split()
_FIGURES = (
    "man-standing woman-standing person-standing man-dancing woman-dancing man-running woman-running man-walking "
    "woman-walking man-astronaut woman-astronaut astronaut man-farmer woman-farmer man-artist woman-artist man-cook "
    "woman-cook man-mage woman-mage man-superhero woman-superhero man-fairy woman-fairy man-elf woman-elf ninja "
    "santa-claus mrs-claus man-police-officer woman-police-officer man-firefighter woman-firefighter man-biking "
    "woman-biking man-surfing woman-surfing man-genie woman-genie man-merpeople woman-merpeople man-vampire troll "
    "snowboarder horse-racing baby-angel"
).split()
_SKINNED = {*_PEOPLE, *_FIGURES} - {"troll", "man-genie", "woman-genie", "snowboarder"}
_BODY = "brain bone tooth eye eyes ear nose mouth hand-with-fingers-splayed thumbs-up waving-hand footprints".split()

_NOT_WANTED = re.compile(
    r"medal|mahjong|playing-cards|club-suit|diamond-suit|spade-suit|heart-suit|oclock|thirty|button|flag-in-hole|"
    r"cigarette|coffin|funeral|headstone|syringe|drop-of-blood|dagger|pistol|bomb|kitchen-knife|toilet|condom|"
    r"chart|calendar|file|folder|clip|nib|tray|receipt|dvd|disk|videocassette|film-frames|trackball|card-|index|bookmark|"
    r"page-|banknote|credit|identification|link|lock|speaker|mail|envelope|placard|label|e-mail|fax|pager|battery|"
    r"moon-face|waxing|waning|quarter-moon|globe|map|bus-stop|motorway|railway-track|national-park|stop-sign|"
    r"construction|barber|customs|luggage|anger|bubble|balloon$|zzz|hundred|collision|dizzy|sweat|dash|hole|letter|"
    r"heart-decoration|exclamation|two-hearts|revolving|beating|growing|sparkling-heart|arrow|mending|kiss-mark|"
    r"pile-of-poo|vomiting|dotted-line|cyclone|foggy|fog|microbe|cockroach|mosquito|worm|hamsa|nazar|kaaba|"
    r"love-hotel|atm|wheelchair|crutch|cane|x-ray|stethoscope|adhesive|pill$|petri|dna|razor|plunger|roll-of|soap|"
    r"broken-chain|chains|clamp|level-slider|control-knobs|hearing|gear$|nut-and-bolt|safety-pin|pushpin|"
    r"cat-with|smiling-cat|grinning-cat|kissing-cat|crying-cat|weary-cat|pouting-cat|bikini|briefs|underwear|"
    r"swimsuit|musical-notes|musical-score|cinema|wireless|pine-decoration|red-envelope|reminder-ribbon|military|"
    r"moon-viewing|tanabata|flower-playing|goal-net|oncoming-fist"
)
_KEPT_ALL_THE_SAME = {"balloon", "party-popper", "gear"}


def wanted(categories: dict[str, list[str]]) -> list[str]:
    """The names to draw, sorted: most things, and people in all tones of skin; no signs, arrows, clocks or parts."""
    everything = {name for category in CATEGORIES for name in categories[category]}
    things = {
        name
        for category in CATEGORIES
        if category != "People & Body"
        for name in categories[category]
        if name in _KEPT_ALL_THE_SAME or not _NOT_WANTED.search(name)
    }
    people = {name for name in (*_PEOPLE, *_FIGURES) if name in everything}
    toned = {f"{name}-{tone}" for name in people & _SKINNED for tone in TONES}
    return sorted(things | people | (toned & everything) | (set(_BODY) & everything))


def base_and_tone(name: str) -> tuple[str, str]:
    """`woman-dark` to (`woman`, `dark`); the tone is empty where the name has none."""
    for tone in sorted(TONES, key=len, reverse=True):
        base = name.removesuffix(f"-{tone}")
        if base != name and base in _SKINNED:
            return base, tone
    return name, ""


PLACES: dict[str, tuple[str, ...]] = {
    "meadow": tuple(
        "house houses derelict-house house-with-garden hut castle church classical-building japanese-castle "
        "hotel school office-building factory tent circus-tent deciduous-tree evergreen-tree "
        "christmas-tree palm-tree cactus automobile taxi bus delivery-truck tractor motorcycle motor-scooter "
        "bicycle racing-car locomotive police-car fire-engine ambulance sport-utility-vehicle pickup-truck dog "
        "cat black-cat rabbit horse cow pig ewe ram goat rooster chicken duck deer moose bison giraffe lion "
        "tiger bear panda koala kangaroo zebra elephant camel llama monkey gorilla hedgehog squirrel chipmunk mouse "
        "hamster turtle snail sauropod t-rex unicorn dragon sunflower rose tulip blossom hibiscus hyacinth "
        "mushroom snowman robot fountain mountain snow-capped-mountain mount-fuji volcano potted-plant "
        "four-leaf-clover herb poodle ox swan goose peacock flamingo penguin owl ferris-wheel moai wood rock "
        "hatching-chick baby-chick frog snake leopard raccoon skunk sloth otter beaver wolf fox tokyo-tower "
        "statue-of-liberty man-standing woman-standing person-standing man-dancing woman-dancing man-running "
        "woman-running man-walking woman-walking man-farmer woman-farmer man-mage woman-mage man-superhero "
        "woman-superhero man-fairy woman-fairy ninja santa-claus man-biking woman-biking lady-beetle ant "
        "caterpillar bug spider kick-scooter".split()
    ),
    "sea": tuple(
        "sailboat ship ferry speedboat motor-boat passenger-ship canoe swan duck spouting-whale dolphin "
        "man-surfing woman-surfing desert-island ring-buoy".split()
    ),
    "under water": tuple(
        "fish tropical-fish blowfish shark dolphin whale spouting-whale octopus squid jellyfish "
        "crab lobster shrimp turtle seal coral spiral-shell oyster man-merpeople woman-merpeople anchor".split()
    ),
    "space": tuple(
        "rocket ringed-planet alien alien-monster robot comet satellite full-moon star glowing-star "
        "crescent-moon astronaut man-astronaut woman-astronaut shooting-star flying-saucer".split()
    ),
    "table": tuple(
        "green-apple red-apple pear peach lemon tangerine banana watermelon grapes strawberry cherries "
        "pineapple mango tomato eggplant avocado carrot bread croissant cheese-wedge hamburger pizza hot-dog taco "
        "birthday-cake cupcake shortcake pie cookie doughnut ice-cream soft-ice-cream hot-beverage "
        "teacup-without-handle wine-glass cocktail-glass tropical-drink beer-mug amphora bouquet "
        "potted-plant tulip rose books open-book candle teapot jar honey-pot egg pancakes waffle sushi rice-ball "
        "glass-of-milk bottle-with-popping-cork teddy-bear alarm-clock telephone camera guitar violin wrapped-gift "
        "chess-pawn crystal-ball trophy hourglass-done light-bulb desktop-computer laptop mobile-phone television "
        "radio".split()
    ),
}
"""Where a thing stands by itself."""

FIRST_DRAWN = frozenset(
    "house house-with-garden castle deciduous-tree evergreen-tree palm-tree cactus sun sun-with-face cloud "
    "rainbow star crescent-moon mountain snow-capped-mountain blossom sunflower tulip rose mushroom cat cat-face "
    "dog dog-face bear panda rabbit rabbit-face pig pig-face cow cow-face horse elephant lion tiger-face fox frog "
    "monkey-face mouse-face owl duck penguin chicken bird snail turtle snake spider butterfly honeybee "
    "lady-beetle t-rex dragon unicorn fish tropical-fish whale dolphin shark octopus crab automobile bus taxi "
    "tractor fire-engine locomotive bicycle airplane rocket sailboat ship robot alien ghost snowman "
    "jack-o-lantern red-apple green-apple pear banana lemon strawberry cherries grapes watermelon pineapple "
    "avocado tomato carrot eggplant pizza hamburger ice-cream cupcake birthday-cake doughnut hot-beverage teapot "
    "candle light-bulb guitar umbrella balloon wrapped-gift teddy-bear crown anchor red-heart "
    "slightly-smiling-face grinning-face man-standing woman-standing person-standing man woman boy girl person "
    "baby".split()
)
"""What people draw who are asked to draw something: learnt more often than the rest."""

MOST_DRAWN = frozenset(
    "house castle deciduous-tree evergreen-tree automobile cat cat-face dog dog-face rabbit horse pig bear bird "
    "butterfly fish sailboat blossom sunflower rose mountain red-apple hot-beverage birthday-cake rocket robot "
    "t-rex dragon snowman star crescent-moon red-heart slightly-smiling-face man woman boy girl".split()
)
"""Of these, what nearly everybody draws first."""

VIOLET = frozenset(
    "grapes crystal-ball fireworks sparkler shooting-star comet bridge-at-night milky-way jellyfish ogre "
    "unicorn".split()
)
"""Things that are violet by themselves, where the pack's ink and shadows are so everywhere."""

SKY = tuple(
    "sun sun-with-face cloud crescent-moon full-moon star glowing-star rainbow airplane helicopter bird eagle "
    "dove butterfly balloon kite sun-behind-cloud parachute small-airplane honeybee".split()
)
ANIMAL_HEADS = tuple(
    "cat-face dog-face tiger-face lion bear panda koala rabbit-face mouse-face cow-face pig-face monkey-face "
    "horse-face fox frog hamster wolf unicorn polar-bear owl".split()
)

SAID: dict[str, str] = {
    "alien-monster": "space invader|alien monster",
    "alarm-clock": "alarm clock|clock",
    "amphora": "amphora|vase",
    "automobile": "car|automobile",
    "baby-chick": "chick|baby chick",
    "bird": "bird",
    "black-cat": "black cat",
    "blossom": "flower|blossom",
    "blowfish": "blowfish|pufferfish",
    "bouquet": "bouquet|flowers|bunch of flowers",
    "cat": "cat",
    "cat-face": "cat|cat face|kitten",
    "cherry-blossom": "cherry blossom",
    "chicken": "chicken|hen",
    "classical-building": "temple|classical building|museum",
    "cow-face": "cow|cow face",
    "crescent-moon": "moon|crescent moon",
    "couch-and-lamp": "couch|sofa",
    "deciduous-tree": "tree",
    "delivery-truck": "truck|delivery truck",
    "derelict-house": "old house|haunted house",
    "desktop-computer": "computer",
    "dog-face": "dog|dog face|puppy",
    "dragon-face": "dragon|dragon face",
    "evergreen-tree": "pine tree|fir tree|tree",
    "ewe": "sheep",
    "fire-engine": "fire engine|fire truck",
    "flying-saucer": "ufo|flying saucer",
    "full-moon": "moon|full moon",
    "glowing-star": "star|glowing star",
    "grinning-face": "smiley|happy face|grinning face",
    "hamburger": "burger|hamburger",
    "high-heeled-shoe": "shoe|high heel",
    "honeybee": "bee|honeybee",
    "horse-face": "horse|horse face",
    "hot-beverage": "cup|cup of coffee|coffee|cup of tea",
    "houses": "houses|village",
    "house-with-garden": "house|house with a garden",
    "jack-o-lantern": "pumpkin|halloween pumpkin",
    "japanese-castle": "japanese castle|pagoda",
    "lady-beetle": "ladybug|ladybird",
    "light-bulb": "light bulb|lamp",
    "locomotive": "train|steam train|locomotive",
    "man-mage": "wizard",
    "woman-mage": "witch|sorceress",
    "man-merpeople": "merman",
    "woman-merpeople": "mermaid",
    "man-standing": "man|man standing",
    "mobile-phone": "phone|mobile phone",
    "monkey-face": "monkey|monkey face",
    "mouse-face": "mouse|mouse face",
    "old-man": "old man|grandfather",
    "old-woman": "old woman|grandmother",
    "passenger-ship": "ship|cruise ship",
    "person-standing": "person|stick figure",
    "person": "person|face|portrait",
    "person-with-crown": "king|queen",
    "pig-face": "pig|pig face",
    "potted-plant": "plant|potted plant",
    "rabbit-face": "rabbit|bunny",
    "racing-car": "racing car|race car",
    "red-apple": "apple|red apple",
    "red-heart": "heart|red heart",
    "ringed-planet": "planet|saturn",
    "sauropod": "dinosaur|brontosaurus",
    "smiling-face-with-sunglasses": "cool face|smiley with sunglasses",
    "slightly-smiling-face": "smiley|smiling face",
    "small-airplane": "small plane",
    "airplane": "plane|airplane",
    "snow-capped-mountain": "mountain|snowy mountain",
    "mount-fuji": "mount fuji",
    "soccer-ball": "ball|soccer ball|football",
    "spouting-whale": "whale",
    "sport-utility-vehicle": "suv|off-road car",
    "sun-with-face": "sun",
    "t-rex": "dinosaur|t rex",
    "tangerine": "orange|tangerine",
    "teacup-without-handle": "cup of tea|tea",
    "tiger-face": "tiger|tiger face",
    "tropical-fish": "tropical fish",
    "two-hump-camel": "camel",
    "woman-standing": "woman|woman standing",
    "wrapped-gift": "gift|present",
}
"""What people call a thing where that is not the pack's own name; the first one is used most."""


HELD_OUT = frozenset(
    "house cat-face dog-face tiger-face lion bear panda frog pig-face rabbit-face fox tulip rose sunflower cactus "
    "evergreen-tree palm-tree automobile bus taxi tractor fire-engine rocket red-apple banana lemon tangerine "
    "strawberry grapes watermelon tomato eggplant carrot avocado pizza dolphin octopus crab turtle elephant cow "
    "owl penguin butterfly crown teapot ghost jack-o-lantern snowman anchor".split()
)
"""Things whose second drawing, by another hand, no training sees: what a trained model is judged on."""


def said(name: str) -> list[str]:
    """What a thing is called, the most usual first: `['cat', 'cat face', 'kitten']`."""
    base, _ = base_and_tone(name)
    if base in SAID:
        return SAID[base].split("|")
    return [_gendered(base).replace("-", " ")]


def _gendered(base: str) -> str:
    """`man-farmer` to `farmer`, as people say it; `man-beard` stays."""
    for start in ("man-", "woman-"):
        rest = base.removeprefix(start)
        if base in _FIGURES and rest != base:
            return rest if rest not in ("dancing", "running", "walking", "biking", "surfing") else base
    return base


def people(names: Sequence[str]) -> list[str]:
    """The faces among the names, in all tones."""
    return [name for name in names if base_and_tone(name)[0] in _PEOPLE]
