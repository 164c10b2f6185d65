"""The catalogue beside the price book: fallback prices, provider names, and the tier of a model."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from functools import cache
from importlib import resources

from msgspec import Struct

from tokenfuse.contracts.event import TIERS
from tokenfuse.pricing.units import UnitPrices, unit_prices

UNKNOWN_TIER = -1


class Catalogue(Struct, frozen=True):
    """`catalogue.toml`, read once. Its comments say where each figure comes from."""

    version: int
    fallback: UnitPrices
    providers: dict[str, str]
    tiers: tuple[tuple[int, re.Pattern[str]], ...]
    tier_bounds: tuple[tuple[int, Decimal], ...]

    def tier(self, model: str, output_mtok: Decimal | None) -> int:
        """Index into TIERS by the model's name, else by its price in US dollars per million output tokens; else -1."""
        name = model.lower()
        for tier, pattern in self.tiers:
            if pattern.search(name):
                return tier
        if output_mtok is None:
            return UNKNOWN_TIER
        return next(
            (tier for tier, bound in self.tier_bounds if output_mtok <= bound), TIERS.index("frontier")
        )


@cache
def load_catalogue() -> Catalogue:
    """The catalogue that this release ships."""
    data = tomllib.loads(resources.files("tokenfuse.pricing").joinpath("catalogue.toml").read_text())
    return Catalogue(
        version=data["version"],
        fallback=unit_prices({key: Decimal(price) for key, price in data["fallback"].items()}),
        providers=data["providers"],
        tiers=tuple((TIERS.index(row["tier"]), re.compile(row["pattern"])) for row in data["tier"]),
        tier_bounds=tuple((TIERS.index(t), Decimal(usd)) for t, usd in data["tier_by_output_mtok"].items()),
    )
