"""The price book: what a call costs where its producer does not say.

Unit prices come from genai-prices, resolved once per (provider, model, batch, service tier, day) and cached: its own
`calc_price` takes about 170 us a call, this a microsecond, and a test holds both equal to the nano-dollar.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tokenfuse.contracts.event import NANO_QUANTUM, CostEvent, Replaces
from tokenfuse.contracts.money import NANO, NANOUSD_MAX
from tokenfuse.pricing.catalogue import Catalogue, load_catalogue
from tokenfuse.pricing.units import UnitPrices, unit_prices

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
ENTRIES_MAX: Final = 50_000
"""Names of models come from outside; a full cache is emptied, which costs time and nothing else."""

SERVICE_CHARS_MAX: Final = 64
"""A label has no bound of its own, so a long one is looked up each time and not remembered."""

SERVICE_TIER_LABEL: Final = "service_tier"


class Priced(Struct, frozen=True):
    """What one call costs.

    Attributes:
        cost_nanousd: includes the estimate.
        unpriced: nobody knows the price; estimated_nanousd is what the call was counted at, else 0.
    """

    cost_nanousd: int
    unpriced: bool
    estimated_nanousd: int


class Entry(Struct, frozen=True):
    """One model in the book. `prices` is None where no price is known; `by_minute`: it depends on the time of day."""

    provider: str | None
    tier: int
    prices: UnitPrices | None
    by_minute: bool


class PriceBook:
    """Prices calls. One per worker; not safe for use by several threads at once."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue or load_catalogue()
        self._entries: dict[tuple[Any, ...], Entry] = {}
        self._providers: list[Provider] | None = None

    @cached_property
    def version(self) -> str:
        """The data that prices come from, e.g. `genai-prices-0.2.3+1`; the last part is the catalogue's version."""
        return f"genai-prices-{version('genai-prices')}+{self._catalogue.version}"

    def load(self) -> None:
        """Reads the prices now, a second's work, and not with the first call."""
        self._all()

    @property
    def fallback(self) -> UnitPrices:
        """What is counted where no price is known."""
        return self._catalogue.fallback

    def entry(self, event: CostEvent | Replaces, at_ms: int) -> Entry:
        """The model's entry on the day of the call (`at_ms`: event time), with the tier and provider inferred."""
        labels = event.labels
        service = labels.get(SERVICE_TIER_LABEL) if labels else None
        return self.entry_of(event.model, event.provider, event.batch, service, at_ms)

    def entry_of(
        self, model: str, provider: str | None, batch: bool, service: str | None, at_ms: int
    ) -> Entry:
        """`entry` by what it depends on; `service` is the label `service_tier`."""
        key = (model, provider, batch, service, at_ms // DAY_MS)
        entry = self._entries.get(key)
        if entry is None or entry.by_minute:
            entry = self._resolve(key, at_ms)
        return entry

    def price(self, event: CostEvent | Replaces, at_ms: int) -> Priced:
        """Price of one call. The producer's `cost_usd` wins, a 0 among them; never 0 for tokens of unknown price."""
        cost, unpriced = self.cost(event, self.entry(event, at_ms))
        return Priced(cost, unpriced, cost if unpriced else 0)

    def cost(self, event: CostEvent | Replaces, entry: Entry) -> tuple[int, bool]:
        """Nano-dollars, and whether they are an estimate because the price is unknown."""
        usd = event.cost_usd
        if usd is not None:
            return stated_nanousd(usd), False
        if event.response_cache_hit:
            return 0, False
        prices, unpriced = entry.prices, False
        if (
            prices is None
            or (event.input_tokens and not prices.has_input)
            or (event.output_tokens and not prices.has_output)
        ):
            prices, unpriced = self._catalogue.fallback, True
        if not (event.input_tokens or event.output_tokens) and event.status in ("error", "blocked"):
            return 0, False
        return _tokens_nanousd(prices, event), unpriced

    def off_book(self, event: CostEvent | Replaces, entry: Entry, cost_nanousd: int) -> int:
        """What a producer's cost comes to above ours, nano-dollars; 0 where the book does not know the price.

        Not below -NANOUSD_MAX, so that sums keep within int64. A cost of 0 is no price: free tiers, refunds and answers that were not billed.
        """
        if not cost_nanousd or event.response_cache_hit or (prices := entry.prices) is None:
            return 0
        if (event.input_tokens and not prices.has_input) or (event.output_tokens and not prices.has_output):
            return 0
        return max(cost_nanousd - _tokens_nanousd(prices, event), -NANOUSD_MAX)

    def _resolve(self, key: tuple[Any, ...], at_ms: int) -> Entry:
        minute_key = (*key, at_ms // MINUTE_MS)
        entry = self._entries.get(minute_key)
        if entry is None:
            model, provider, batch, service, _ = key
            entry = self._look_up(model, provider, context(batch=batch, service_tier=service), at_ms)
            if service is not None and len(service) > SERVICE_CHARS_MAX:
                return entry
            if len(self._entries) >= ENTRIES_MAX:
                self._entries.clear()
            if entry.by_minute:
                self._entries[minute_key] = entry
            self._entries[key] = entry
        return entry

    def _look_up(self, model: str, provider: str | None, price_context: dict[str, str], at_ms: int) -> Entry:
        found = self._find(model.lower(), provider)
        if found is None:
            return Entry(
                provider or self._infer(model), self._catalogue.tier(model, None), None, by_minute=False
            )
        source, info = found
        own = any(
            info is m for m in source.models
        )  # variants are a provider's own; a borrowed model has none
        moment = datetime.fromtimestamp(at_ms // 1000, UTC)
        prices = info.get_prices(moment, price_context if own else None).__dict__
        units = unit_prices({key: price for key, price in prices.items() if price is not None})
        return Entry(
            provider or source.id,
            self._catalogue.tier(model, _output_mtok(units)),
            units if units.has_input or units.has_output or prices.get("requests_kcount") else None,
            by_minute=_by_minute(info),
        )

    def _find(self, model: str, provider: str | None) -> tuple[Provider, ModelInfo] | None:
        """The model at its provider; else at the provider its prefix or its name says: resellers keep list prices."""
        prefix, slash, rest = model.partition("/")
        attempts = [(provider, model), (provider, rest), (prefix, rest)] if slash else [(provider, model)]
        for name, ref in [*attempts, (None, model), *([(None, rest)] if slash else [])]:
            source = self._provider(name, ref)
            info = source.find_model(ref, all_providers=self._all()) if source else None
            if source and info:
                return source, info
        return None

    def _provider(self, name: str | None, model: str) -> Provider | None:
        from genai_prices.data_snapshot import find_provider_by_id

        if name is None:
            return next((p for p in self._all() if p.model_match and p.model_match.is_match(model)), None)
        lowered = name.lower()
        return find_provider_by_id(self._all(), self._catalogue.providers.get(lowered, lowered))

    def _infer(self, model: str) -> str | None:
        source = self._provider(None, model.lower())
        return source.id if source else None

    def _all(self) -> list[Provider]:
        # 0.7 s and 40 MB: loaded with the first call, so that contracts and `--help` stay light.
        if self._providers is None:
            from genai_prices.data import providers

            self._providers = providers
        return self._providers


def _tokens_nanousd(prices: UnitPrices, event: CostEvent | Replaces) -> int:
    return prices.cost_nanousd(
        event.input_tokens,
        event.output_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.reasoning_tokens,
    )


def stated_nanousd(usd: Decimal) -> int:
    """What a producer says that a call cost; quantize rounds once, however many digits were sent."""
    return int(usd.quantize(NANO_QUANTUM) * NANO)


def context(*, batch: bool, service_tier: str | None) -> dict[str, str]:
    """What chooses a price variant, in genai-prices' words."""
    chosen = {"processing": "batch"} if batch else {}
    return {**chosen, "service_tier": service_tier} if service_tier else chosen


def _by_minute(info: ModelInfo) -> bool:
    """Whether a price depends on the time of day (DeepSeek's off-peak hours)."""
    rows = [*(info.prices if isinstance(info.prices, list) else ()), *(info.price_variants or ())]
    return any(hasattr(row.constraint, "start_time") for row in rows)


def _output_mtok(units: UnitPrices) -> Decimal | None:
    if not units.has_output:
        return None
    return Decimal(units.bands[-1].output) / (units.denominator * 1000)
