"""What a sheet would change, compared with the shop as it is now; or what is wrong with it, line by line."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from inventory.models import Category, Product, Stock
from inventory.sheets.columns import BY_NAME, COLUMNS, ON_HAND, PRICE, SKU, UnreadableCell, price_minor, shown
from inventory.sheets.reading import Line, Problem, Sheet


@dataclass(frozen=True, slots=True)
class Difference:
    """One cell that would change, as people read it."""

    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one line would do. `product` is as it would be then; `delta`, by how many units its stock would change."""

    line: int
    product: Product
    is_new: bool
    differences: tuple[Difference, ...]
    delta: int


@dataclass(slots=True)
class Plan:
    """What a sheet would do. One with problems is never carried out."""

    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unchanged: int = 0

    @property
    def digest(self) -> str:
        """The fingerprint of everything that would change, from what to what: the same plan has the same."""
        whole = [(change.product.sku, change.is_new, change.differences) for change in self.changes]
        return hashlib.sha256(repr(whole).encode()).hexdigest()

    @property
    def new(self) -> list[Change]:
        """The products that would be made."""
        return [change for change in self.changes if change.is_new]

    @property
    def changed(self) -> list[Change]:
        """The products that are there, and would change."""
        return [change for change in self.changes if not change.is_new]


def plan(sheet: Sheet) -> Plan:
    """Compare `sheet` with the shop. Four queries, however long it is; takes no locks."""
    made = Plan(problems=list(sheet.problems))
    skus = [line.cells.get(SKU, "") for line in sheet.lines]
    products = {product.sku: product for product in Product.objects.filter(sku__in=skus).select_related("category")}
    levels = {row.sku: row for row in Stock.objects.filter(product_id__in=skus)}
    categories = {category.slug: category for category in Category.objects.all()}
    seen: dict[str, int] = {}
    for line in sheet.lines:
        sku = line.cells.get(SKU, "")
        if not sku:
            made.problems.append(Problem(line.number, SKU, "Empty."))
        elif sku in seen:
            made.problems.append(Problem(line.number, SKU, f"“{sku}” was in line {seen[sku]} already."))
        else:
            seen[sku] = line.number
            _plan_line(made, line, products.get(sku), levels.get(sku), categories)
    made.problems.sort(key=lambda problem: problem.line)
    return made


def _plan_line(
    made: Plan, line: Line, product: Product | None, level: Stock | None, categories: Mapping[str, Category]
) -> None:
    values, problems = _values(line, product, categories)
    is_new = product is None
    if is_new:
        missing = [column.name for column in COLUMNS if column.needed and column.name not in line.cells]
        problems += [Problem(line.number, name, "Needed for a new product.") for name in missing]
    before = {} if product is None else shown(product, level.on_hand if level else 0)
    delta = values.pop(ON_HAND) - (level.on_hand if level else 0) if ON_HAND in values else 0
    if level is not None and level.available + delta < 0:
        problems.append(Problem(line.number, ON_HAND, f"{level.reserved} of them are held for orders."))
    product = product or Product()
    for name, value in values.items():
        setattr(product, name, value)
    problems += _refused_by_model(line, product, problems)
    if problems:
        made.problems += problems
        return
    after = shown(product, (level.on_hand if level else 0) + delta)
    changed = [name for name in BY_NAME if name != SKU and after[name] != before.get(name, "")]
    differences = tuple(Difference(name, before.get(name, ""), after[name]) for name in changed)
    if differences or is_new:
        made.changes.append(Change(line.number, product, is_new, differences, delta))
    else:
        made.unchanged += 1


def _values(
    line: Line, product: Product | None, categories: Mapping[str, Category]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the cells of a line as values by field (the stock by its column), and what can't be read."""
    values: dict[str, Any] = {}
    problems = []
    for name, text in line.cells.items():
        column = BY_NAME[name]
        try:
            values[column.field or name] = column.read(text)
        except UnreadableCell as error:
            problems.append(Problem(line.number, name, error.message))
    if "category" in values:
        values["category"] = categories.get(line.cells["category"])
        if values["category"] is None:
            del values["category"]
            problems.append(Problem(line.number, "category", "There is no such category: make it first."))
    currency = values.get("currency") or (product.currency if product else "")
    if product is not None and currency != product.currency:
        problems.append(Problem(line.number, "currency", f"It is {product.currency}, and stays so once it is made."))
    elif "price_minor" in values:
        try:
            values["price_minor"] = price_minor(line.cells[PRICE], currency)
        except UnreadableCell as error:
            del values["price_minor"]
            problems.append(Problem(line.number, PRICE, error.message))
    return values, problems


def _refused_by_model(line: Line, product: Product, known: Iterable[Problem]) -> list[Problem]:
    """What the model itself says about the product: lengths, patterns. Silent about the cells in `known`."""
    columns = {column.field: column.name for column in COLUMNS if column.field and column.field != "category"}
    bad = {problem.column for problem in known}
    try:
        product.clean_fields(exclude={field.name for field in Product._meta.fields if field.name not in columns})
    except ValidationError as error:
        found = {columns[name]: messages for name, messages in error.message_dict.items()}
        return [
            Problem(line.number, name, said)
            for name, messages in found.items()
            if name not in bad and name in line.cells
            for said in messages
        ]
    if len(product.currency) != 3 or not (product.currency.isascii() and product.currency.isalpha()):
        return [Problem(line.number, "currency", "A currency is three letters, such as EUR.")]
    return []
