"""`manage.py sagas`: find sagas, read their stories, decide about those that need a person, pause and archive them."""

import getpass
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from marketplace.kernel.bulk import to_json
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.sagas import archive, attention, circuits, foresight, pausing, selectors, standby, versions
from marketplace.sagas.models import Status
from marketplace.sagas.selectors import Criteria, Entry, Remains, Story, Summary

Decision = Callable[..., attention.Decided]
DECISIONS: dict[str, tuple[Decision, str]] = {
    "retry": (attention.retry, "try the step again, forward or back, with all its attempts"),
    "compensate": (attention.compensate, "undo from where it stands, that step included"),
    "resolve": (attention.resolve, "take the step as done by hand, and go on with the next"),
    "ignore": (attention.ignore, "acknowledge: off the alert list, still in NEEDS_ATTENTION"),
}
OLDEST_SECONDS = 10 * 365 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def age(text: str) -> timedelta:
    """Read `90`, `90s`, `15m`, `2h` or `1d`."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    seconds = int(number) * _UNITS[unit] if number.isdecimal() else -1
    if not 0 <= seconds <= OLDEST_SECONDS:
        raise ArgumentTypeError(f"{text!r} is no age: write 90s, 15m, 2h or 1d (ten years at most)")
    return timedelta(seconds=seconds)


def rate(text: str) -> float:
    """Read `10`, `10/s` or `600/m`: so many a second, or a minute."""
    amount, _, unit = text.partition("/")
    try:
        number = float(amount) / _UNITS[unit or "s"]
    except (ValueError, KeyError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no rate: write how many, more than 0: 10/s, 600/m")
    return number


class Command(BaseCommand):
    """Exit code 0: done; 1: at least one saga was refused, or `check` found something; 2: it was asked for wrongly."""

    help = "List and show sagas; decide about those in NEEDS_ATTENTION; pause, resume and archive; check a deploy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One subcommand for each thing to do."""
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="the sagas that fit, the longest-standing first")
        _add_filters(listing)
        listing.add_argument("--reason", dest="attention", metavar="TEXT", help="the same as --attention")
        listing.add_argument("--status", choices=sorted(Status.values), default="", help="default: any")
        listing.add_argument(
            "--standby", default="", metavar="TEXT", help="what it stands by for: circuit:… or pause:…"
        )
        listing.add_argument("--limit", type=int, default=50, help="default: 50")
        show = actions.add_parser("show", help="the story of one saga")
        show.add_argument("id", type=UUID)
        check = actions.add_parser("check", help="exit 1 if a saga under way can't go on with this code")
        for name, (_, what) in DECISIONS.items():
            self._add_decision(actions.add_parser(name, help=what), name)
        pause = actions.add_parser("pause", help="let a definition, a step or a queue stand still; bare: list pauses")
        pause.add_argument("what", nargs="?", default="", help="<definition>, <definition>/<step> or queue:<queue>")
        resume = actions.add_parser("resume", help="let it go on, at SAGA_RESUME_RATE a second")
        resume.add_argument("what", help="as in pause; or circuit:<name>, to try now whether that place is back")
        for one in (pause, resume):
            _add_person(one)
        shelve = actions.add_parser("archive", help="move finished sagas out of the hot tables")
        shelve.add_argument("--older-than", type=age, required=True, metavar="AGE", help="finished for: 12h, 30d")
        shelve.add_argument(
            "--batch", type=int, default=archive.BATCH, help="sagas a transaction (default: %(default)s)"
        )
        shelve.add_argument("--limit", type=int, help="at most so many (default: all)")
        for one in (listing, show, check, pause, resume, shelve):
            one.add_argument("--json", action="store_true", help="for programs")

    def _add_decision(self, parser: ArgumentParser, name: str) -> None:
        parser.add_argument("ids", nargs="*", type=UUID, metavar="id")
        parser.add_argument(
            "--all", action="store_true", help="every saga in NEEDS_ATTENTION, or all that fit the filters"
        )
        parser.add_argument("--yes", action="store_true", help="don't ask before deciding about those that fit")
        parser.add_argument(
            "--status", choices=[Status.NEEDS_ATTENTION], default="", help="only those can be decided about"
        )
        _add_filters(parser)
        _add_person(parser)
        parser.add_argument("--rate", type=rate, default=20.0, help="at most so many: 10/s, 600/m (default: 20/s)")
        parser.add_argument("--json", action="store_true", help="one line of JSON a saga")
        if name == "compensate":
            parser.add_argument("--dry-run", action="store_true", help="print what would be undone; change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and leave with the exit code."""
        versions.load_definitions()
        match options["action"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options["id"], as_json=options["json"])
            case "check":
                self._check(as_json=options["json"])
            case "pause" | "resume" | "archive" as what:
                self._operate(what, options)
            case decision:
                self._decide(decision, options)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _list(self, options: dict[str, Any]) -> None:
        criteria = replace(_criteria(options, status=options["status"]), standby=options["standby"])
        found = selectors.matching(criteria, limit=max(1, options["limit"]))
        if options["json"]:
            self.stdout.write(to_json([asdict(one) for one in found]))
            return
        now = database_now()
        for one in found:
            self.stdout.write(_line(one, now))
        self.stdout.write(f"{len(found)} saga{'s' * (len(found) != 1)}.")

    def _show(self, saga_id: UUID, *, as_json: bool) -> None:
        try:
            story = selectors.story(saga_id)
            left = selectors.remains(saga_id) if story.status == Status.NEEDS_ATTENTION else None
        except MarketplaceError as error:
            raise CommandError(error.message) from error
        told = {**asdict(story), "remains": asdict(left) if left else None}
        self.stdout.write(to_json(told) if as_json else _in_words(story, left))

    def _check(self, *, as_json: bool) -> None:
        found = versions.stranded()
        if as_json:
            self.stdout.write(to_json([asdict(one) for one in found]))
        else:
            lines = [str(one) for one in found] or ["Every saga under way can go on with this code."]
            self.stdout.write("\n".join(lines))
        if found:
            sys.exit(1)

    # --- deciding -----------------------------------------------------------------------------------------------------

    def _decide(self, name: str, options: dict[str, Any]) -> None:
        dry = options.get("dry_run", False)
        if not dry and not options["reason"].strip():
            raise CommandError("Say why, with --reason: it goes on record.")
        chosen = _chosen(options)
        if not options["ids"] and not dry:
            self._confirm(name, len(chosen), options)
        failed = 0
        pause = 1 / options["rate"]
        for number, saga_id in enumerate(chosen):
            if number and not dry:
                time.sleep(pause)
            result = _undos(saga_id) if dry else _decided(DECISIONS[name][0], saga_id, options)
            failed += "error" in result
            self.stdout.write(to_json(result) if options["json"] else _result(name, result))
        if failed:
            sys.exit(1)

    def _confirm(self, name: str, count: int, options: dict[str, Any]) -> None:
        """Ask whoever sits there whether they mean so many; a script says so beforehand."""
        if options["yes"] or options["all"] or not count:
            return
        if not sys.stdin.isatty():
            raise CommandError("Nobody is there to be asked: say --yes.")
        self.stderr.write(f"{name}: {count} saga{'s' * (count != 1)}. Go on? [y/N] ", ending="")
        if input().strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was done.")

    # --- pausing and archiving ----------------------------------------------------------------------------------------

    def _operate(self, what: str, options: dict[str, Any]) -> None:
        try:
            match what:
                case "pause":
                    found = self._pause(options)
                case "resume":
                    found = self._resume(options)
                case _:
                    found = self._archive(options)
        except MarketplaceError as error:
            raise CommandError(error.message) from error
        self.stdout.write(to_json(found) if options["json"] else _operated(found))

    def _pause(self, options: dict[str, Any]) -> Any:
        if not options["what"]:
            return {
                "pauses": [asdict(one) for one in pausing.views()],
                "circuits": [asdict(c) for c in circuits.views()],
            }
        return asdict(pausing.pause(options["what"], actor=options["actor"], reason=options["reason"]))

    def _resume(self, options: dict[str, Any]) -> Any:
        kind, _, name = options["what"].partition(":")
        if kind == "circuit":
            circuits.probe_now(name)
            return {"circuit": name, "probe": "now"}
        return asdict(pausing.resume(options["what"], actor=options["actor"], reason=options["reason"]))

    def _archive(self, options: dict[str, Any]) -> Any:
        moved = archive.archive(older_than=options["older_than"], batch=options["batch"], limit=options["limit"])
        return {"archived": moved}


def _add_person(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="WHY", help="your reason: required, and put on record")
    parser.add_argument("--actor", default=_user(), help="who decides (default: you, %(default)s)")


def _add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--name", "--definition", dest="name", default="", help="the definition's name")
    parser.add_argument("--step", default="", help="the step where it stands")
    parser.add_argument(
        "--older-than", type=age, metavar="AGE", help="nothing has happened to it for: 90s, 15m, 2h, 1d"
    )
    parser.add_argument("--attention", default="", metavar="TEXT", help="words of why it needs attention")


def _criteria(options: dict[str, Any], *, status: str) -> Criteria:
    return Criteria(
        status=status,
        name=options["name"],
        step=options["step"],
        older_than=options["older_than"],
        reason=options["attention"],
    )


def _chosen(options: dict[str, Any]) -> Sequence[UUID]:
    criteria = _criteria(options, status=Status.NEEDS_ATTENTION)
    if options["ids"]:
        if options["all"] or criteria != Criteria(status=Status.NEEDS_ATTENTION):
            raise CommandError("Name sagas by their ids, or take --all with filters; not both.")
        return list(dict.fromkeys(options["ids"]))
    if not options["all"] and not options["status"] and criteria == Criteria(status=Status.NEEDS_ATTENTION):
        raise CommandError("Which ones? Name their ids, give filters, or take --all.")
    return [one.id for one in selectors.matching(criteria)]


def _decided(decide: Decision, saga_id: UUID, options: dict[str, Any]) -> dict[str, Any]:
    try:
        decided = decide(saga_id, actor=options["actor"], reason=options["reason"], now=database_now())
    except Exception as error:  # noqa: BLE001 - a workspace may raise anything for one saga; the others are not its fault
        return _refused(saga_id, error)
    return asdict(decided)


def _refused(saga_id: UUID, error: Exception) -> dict[str, Any]:
    if isinstance(error, MarketplaceError):
        return {"saga_id": saga_id, "error": error.code, "message": error.message}
    return {"saga_id": saga_id, "error": type(error).__name__, "message": str(error)}


def _undos(saga_id: UUID) -> dict[str, Any]:
    try:
        undos = foresight.foresee(saga_id, now=database_now())
    except Exception as error:  # noqa: BLE001 - as when it is decided
        return _refused(saga_id, error)
    return {"saga_id": saga_id, "undos": [asdict(undo) for undo in undos]}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


# --- words ------------------------------------------------------------------------------------------------------------


def _result(name: str, result: dict[str, Any]) -> str:
    if "error" in result:
        return f"{result['saga_id']}  refused  {result['message']} ({result['error']})"
    if "undos" in result:
        return _told_beforehand(result)
    return f"{result['saga_id']}  {name}: {result['status']}{' at ' * bool(result['step'])}{result['step']}"


def _told_beforehand(result: dict[str, Any]) -> str:
    lines = [f"{result['saga_id']}  would undo:{'' if result['undos'] else ' nothing; it would only be closed'}"]
    for number, one in enumerate(result["undos"], start=1):
        outside = " (a call outside)" * one["outside"]
        lines.append(f"  {number}. {one['step']}{outside}: {one['effect'] or 'what exactly, its undo does not tell'}")
    return "\n".join(lines)


def _operated(found: dict[str, Any]) -> str:
    if "archived" in found:
        return f"{found['archived']} saga{'s' * (found['archived'] != 1)} archived."
    if "pauses" in found:
        lines = [_standing(one) for one in found["pauses"]] or ["Nothing is paused."]
        return "\n".join([*lines, *map(_breaker, found["circuits"])])
    if "circuit" in found:
        return f"The next call may try whether {found['circuit']!r} answers."
    if found["resumed_at"]:
        return f"{found['what']} goes on; {found['waiting']} stood by and follow at the limited rate."
    return f"{found['what']} is paused. Go on with: manage.py sagas resume {found['what']} --reason …"


def _breaker(one: dict[str, Any]) -> str:
    why = "" if one["state"] == "CLOSED" else f"  {one['why']}"
    return f"circuit:{one['name']}  {one['state']}  {one['waiting']} standing by{why}"


def _standing(one: dict[str, Any]) -> str:
    since = f"{one['paused_at']:%Y-%m-%d %H:%M:%S} UTC"
    return f"{one['what']}  paused since {since} by {one['paused_by']}: {one['reason']}  {one['waiting']} standing by"


def _line(one: Summary, now: datetime) -> str:
    step = f"{'undo ' * one.undoing}{one.step}"
    idle = timedelta(seconds=int((now - one.updated_at).total_seconds()))
    said = one.attention or (standby.in_words(one.standby) if one.standby else "")
    why = f"  {said}" if said else ""
    seen = "  (acknowledged)" if one.acknowledged_at else ""
    return f"{one.id}  {one.name} {one.version}  {one.status:<15}  {step:<24}  for {idle}{seen}{why}"


def _in_words(story: Story, left: Remains | None) -> str:
    head = [
        f"{story.name} {story.id} about {story.subject_id}",
        f"{story.status}{f' at {story.current_step}' if story.current_step else ''}, "
        f"started {story.started_at:%Y-%m-%d %H:%M:%S} UTC",
    ]
    if story.attention:
        head.append(f"Why: {story.attention}")
    if left is not None and left.redrive_at is not None:
        head.append(f"Unless somebody decides, it is tried again at {left.redrive_at:%Y-%m-%d %H:%M:%S} UTC.")
    return "\n".join([*head, *(_entry(entry) for entry in story.history)])


def _entry(entry: Entry) -> str:
    arrow = "↩" if entry.direction == "compensating" else "→"
    took = "       …   " if entry.duration_ms is None else f"{entry.duration_ms:>8} ms"
    attempt = f" (attempt {entry.attempt})" if entry.attempt > 1 else ""
    who = f" {entry.actor}: {entry.reason}" if entry.actor else ""
    return (
        f"  {entry.timestamp:%H:%M:%S} {arrow} {entry.step:<20} {entry.status:<8} {took}  {entry.message}{attempt}{who}"
    )
