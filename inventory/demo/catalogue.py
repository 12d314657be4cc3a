"""What the demo shop sells. Brands, names and words are made up; the pictures are in `static/shop/products`."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Item:
    """A product: its price in cents, its weight in grams, and how many units the first delivery brings."""

    sku: str
    name: str
    price_minor: int
    weight_grams: int
    units: int
    description: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """A category and what lies on it."""

    slug: str
    name: str
    items: tuple[Item, ...]


COMPUTERS: Final = Shelf(
    "computers",
    "Computers",
    (
        Item(
            "laptop-1", "Nordhal One 14 laptop", 129900, 1240, 25,
            "The one computer for everything: a bright 14-inch screen, a keyboard you will want to write on, and a "
            "battery that outlasts your day. It has no fan, so all you hear is yourself thinking.",
        ),
        Item(
            "tablet-1", "Nordhal Slate 11 tablet", 54900, 480, 18,
            "Read, sketch and watch on eleven inches of matt glass that feels like paper under the pen. The pen clicks "
            "onto the edge and is charged by the time you need it.",
        ),
        Item(
            "monitor-1", "Nordhal Vista 27 monitor", 38900, 5200, 14,
            "A calm 27-inch picture with true colours, and a stand that moves with one finger. A single cable brings "
            "the image and charges your laptop.",
        ),
        Item(
            "keyboard-1", "Klikk 75 mechanical keyboard", 11900, 890, 40,
            "Soft, deep keys with a quiet landing, in a frame of solid aluminium. It is small enough for any desk and "
            "still has its arrow keys where you expect them.",
        ),
        Item(
            "mouse-1", "Klikk Pebble wireless mouse", 4900, 95, 60,
            "Shaped like a stone from the river and just as pleasant to hold. One charge lasts three months, and the "
            "wheel spins freely through long pages.",
        ),
        Item(
            "drive-1", "Pebbleware Pocket drive, 1 TB", 8900, 60, 35,
            "A terabyte in your coin pocket, wrapped in a rubber sleeve that survives a fall from the table. Years of "
            "photos copy over while the kettle boils.",
        ),
    ),
)  # fmt: skip

AUDIO: Final = Shelf(
    "audio",
    "Audio",
    (
        Item(
            "headphones-1", "Sonnwerk Still headphones", 24900, 260, 22,
            "Put them on and the train goes quiet. The cushions stay soft for hours, and like the cable they can be "
            "replaced when their time has come.",
        ),
        Item(
            "earbuds-1", "Sonnwerk Drop earbuds", 12900, 52, 45,
            "Two small drops of sound that stay put when you run. The case holds four more charges and closes with a "
            "click you may come to love.",
        ),
        Item(
            "speaker-1", "Murmel portable speaker", 7900, 540, 30,
            "A round little speaker that fills a kitchen and doesn't mind the rain. Take two, and they find each other "
            "and play in stereo.",
        ),
        Item(
            "turntable-1", "Sonnwerk Rondo turntable", 34900, 5600, 0,
            "A heavy platter, a straight arm, a wooden plinth: records as they were meant to be heard. It arrives "
            "adjusted, so you only choose the first side.",
        ),
        Item(
            "microphone-1", "Murmel Studio microphone", 14900, 620, 16,
            "Makes your voice sound like you on your best day, in calls, songs and stories. Plug it in and talk; there "
            "is nothing to install.",
        ),
        Item(
            "radio-1", "Murmel Kitchen radio", 9900, 1350, 20,
            "One dial for the station, one for the volume, and a warm wooden case. It wakes you gently, and it knows "
            "when the clocks change.",
        ),
    ),
)  # fmt: skip

HOME: Final = Shelf(
    "home",
    "Home",
    (
        Item(
            "lamp-1", "Hemlund Arc desk lamp", 8900, 1900, 28,
            "A pool of warm light exactly where you want it. The arm stays where you leave it, and a touch on the foot "
            "dims it down to candlelight.",
        ),
        Item(
            "armchair-1", "Hemlund Nook armchair", 49900, 17500, 1,
            "Deep enough to curl up in, with a back that holds you while you read. The cover comes off and goes into "
            "the wash, because tea happens.",
        ),
        Item(
            "clock-1", "Hemlund Noon wall clock", 4900, 700, 33,
            "A clear face, three honest hands and a movement without a tick. It looks at home in the kitchen, the "
            "hallway and the study.",
        ),
        Item(
            "planter-1", "Fernbrook planter with monstera", 3900, 3200, 19,
            "A young monstera in a clay pot that waters itself for two weeks. It forgives you if you forget it, and "
            "grows towards whoever talks to it.",
        ),
        Item(
            "vase-1", "Fernbrook Tulip vase", 3400, 980, 26,
            "Thrown by hand and glazed in two colours that meet a little differently each time. It holds a whole bunch "
            "or a single branch equally well.",
        ),
        Item(
            "candle-1", "Fernbrook Cedar candle", 1900, 340, 80,
            "Beeswax and cedar, like a walk after rain. It burns for forty evenings, and the glass makes a fine "
            "tumbler afterwards.",
        ),
    ),
)  # fmt: skip

KITCHEN: Final = Shelf(
    "kitchen",
    "Kitchen",
    (
        Item(
            "kettle-1", "Kesta Whistle kettle", 5900, 1100, 24,
            "Boils on any stove and tells you with a friendly two-tone whistle. The handle stays cool, and the spout "
            "pours where you point it.",
        ),
        Item(
            "moka-1", "Kesta Moka pot for four", 3200, 560, 31,
            "Strong, round coffee in four minutes, the way it has been made for generations. Three parts, no "
            "electronics, nothing that can break.",
        ),
        Item(
            "skillet-1", "Brassel iron skillet, 28 cm", 6900, 2400, 17,
            "Seasoned three times at the works, so the first egg already slides. Treat it kindly, and your "
            "grandchildren will argue over it.",
        ),
        Item(
            "knife-1", "Brassel chef's knife", 8400, 210, 3,
            "A thin, keen blade with a handle of smoked oak that sits well in large and small hands. It comes with a "
            "free sharpening every year.",
        ),
        Item(
            "mugs-1", "Kesta Morning mugs, set of two", 2600, 720, 52,
            "Two generous mugs with a thumb rest and a glaze that shrugs off the dishwasher. One for you, one for "
            "whoever is up early as well.",
        ),
        Item(
            "toaster-1", "Kesta Crumb toaster", 6400, 1800, 21,
            "Two wide slots for thick slices, and one dial that means what it says. The crumb tray slides out like a "
            "drawer.",
        ),
    ),
)  # fmt: skip

OUTDOOR: Final = Shelf(
    "outdoor",
    "Outdoor",
    (
        Item(
            "tent-1", "Tarnfell Lark tent for two", 27900, 2300, 2,
            "Up in four minutes, even when the rain is faster. There is room for two sleepers, two packs, and a porch "
            "to cook in.",
        ),
        Item(
            "backpack-1", "Tarnfell Ridge backpack, 28 l", 11900, 980, 27,
            "Carries a long day's worth without pulling at your shoulders. Rain runs off it, and everything has a "
            "pocket where your hand looks for it.",
        ),
        Item(
            "bottle-1", "Tarnfell Brook steel bottle", 2900, 330, 75,
            "Tea stays hot until the summit, and water cold until the sea. The lid opens with one hand and never drips "
            "into your bag.",
        ),
        Item(
            "lantern-1", "Tarnfell Glow lantern", 4400, 410, 38,
            "A warm light that dances like a flame and burns nothing, for tents, terraces and power cuts. It runs for "
            "sixty hours and charges your phone in an emergency.",
        ),
        Item(
            "bicycle-1", "Veloria Tramp city bicycle", 74900, 13800, 3,
            "Eight gears, a belt instead of a chain, and lights that are simply always on. A bicycle you ride in your "
            "good trousers.",
        ),
        Item(
            "binoculars-1", "Veloria Heron binoculars", 15900, 640, 12,
            "Bright and steady, for herons at dawn and goals in the last minute. Your glasses can stay on, and they "
            "can fall into the brook once.",
        ),
    ),
)  # fmt: skip

PAPER: Final = Shelf(
    "books-paper",
    "Books & Paper",
    (
        Item(
            "notebook-1", "Quillmark dotted notebook", 1800, 320, 90,
            "Thick cream paper that no ink shines through, in a cover that opens flat. The first pages are left for "
            "your own table of contents.",
        ),
        Item(
            "pen-1", "Quillmark Fountain pen", 6900, 45, 2,
            "A steel nib that glides from the first word, and a body that is balanced for long letters. It fills from "
            "a bottle or takes cartridges.",
        ),
        Item(
            "pencils-1", "Quillmark pencils, a jar of five", 1400, 160, 66,
            "Five soft pencils of cedar wood in a small glazed jar. They sharpen to a fine point and smell like the "
            "first day of school.",
        ),
        Item(
            "novel-1", "The Lighthouse Post, a novel", 2200, 410, 44,
            "A postwoman rows letters to an island where nobody has lived for years, and somebody answers. A warm, "
            "clever story for two rainy evenings.",
        ),
        Item(
            "atlas-1", "Atlas of Small Places", 3900, 1450, 15,
            "Sixty hand-drawn maps of places too small for other atlases: a bakery, a pond, a night train. To be read "
            "slowly, best on the floor.",
        ),
        Item(
            "letters-1", "Papierhof letter set", 2400, 280, 37,
            "Twenty sheets and envelopes of soft rag paper, and a stick of red wax. For the things that deserve more "
            "than a message.",
        ),
    ),
)  # fmt: skip

SHELVES: Final = {shelf.slug: shelf for shelf in (COMPUTERS, AUDIO, HOME, KITCHEN, OUTDOOR, PAPER)}
