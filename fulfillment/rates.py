"""How long parcels take while nobody has written it down in the admin (`models.DeliveryRate`).

Working days, from the day on which the order is confirmed: a day to pack it is in them.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple


class UsualRate(NamedTuple):
    """As a row of `DeliveryRate`; no countries: everywhere that no other names."""

    service: str
    countries: tuple[str, ...]
    up_to_grams: int
    days_min: int
    days_max: int


_NEAR: Final = (
    "AT", "BE", "BG", "CY", "CZ", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT",
    "NL", "PL", "PT", "RO", "SE", "SI", "SK",
)  # fmt: skip
_PARCEL: Final = 31_500  # grams: what one person carries
_FREIGHT: Final = 1_000_000


def _zone(countries: tuple[str, ...], parcel: tuple[int, int], freight: tuple[int, int]) -> Iterator[UsualRate]:
    yield UsualRate("standard", countries, _PARCEL, *parcel)
    yield UsualRate("freight", countries, _FREIGHT, *freight)


USUAL: Final[Mapping[str, tuple[UsualRate, ...]]] = {
    "sandbox": (
        *_zone(("DE",), (1, 2), (3, 5)),
        *_zone(_NEAR, (2, 4), (5, 9)),
        *_zone(("CH", "GB", "IS", "LI", "NO"), (3, 6), (7, 12)),
        *_zone((), (6, 12), (15, 30)),
    ),
}
