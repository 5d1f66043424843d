# SPDX-License-Identifier: MIT
"""When a status ends: a time as a person writes it after `--until`.

Sans-I/O, but for the time zone, which is the process's own (TZ, else /etc/localtime). `now` comes
in as an argument, in seconds since the epoch. What could be meant in two ways is refused, and the
caller tells in words (`words`) what was understood.

    when     = length | moment
    length   = ["+"] 1*(NUMBER unit)                 ; "+2h", "90 min", "1 week", "1h 30min"
    moment   = [day] clock | date ["T"] clock [zone]
    day      = "today" | "tomorrow" | the name of a weekday: the next one, or today
    date     = YYYY-MM-DD
    clock    = H:MM | HH:MM | HH:MM:SS | "24:00"     ; by 24 hours
    zone     = "Z" | ("+" | "-") HH:MM
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

MAX_DAYS = 3660  # ten years: what ends later has no end

HOW = 'write it as 18:00, "tomorrow 9:00", "friday 17:00", "2026-12-24 09:00", +2h or "3 days"'

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LENGTH = re.compile(r"\+?\s*((?:\d+\s*[a-z]+\s*)+)")
_PART = re.compile(r"(\d+)\s*([a-z]+)")
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
}
_DAYS = {
    **dict.fromkeys(("d", "day", "days"), 1),
    **dict.fromkeys(("w", "week", "weeks"), 7),
}
_MOMENT = re.compile(
    r"(?:(?P<day>[a-z]+)\s+|(?P<date>\d{4}-\d\d-\d\d)(?:\s+|t))?"
    r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    r"\s*(?P<zone>z|[+-]\d\d:\d\d)?",
)


class WhenError(ValueError):
    """The text is no time to come; what is said is one line, and tells what to write instead."""


def parse(text: str, now: float) -> float:
    """Return the moment that `text` means at `now`, both in seconds since the epoch.

    Raises WhenError if it means none, if it has passed, or if clocks skip it that day.
    """
    said = " ".join(text.split()).lower()
    if not said.isascii():
        raise WhenError(f"is no time that can be understood: {HOW}")
    try:
        moment = _length(said, now) if _LENGTH.fullmatch(said) else _moment(said, now)
    except (OverflowError, OSError):
        raise WhenError(f"is too far away: at most {MAX_DAYS} days") from None
    if moment - now > MAX_DAYS * 86400:
        raise WhenError(f"is too far away: at most {MAX_DAYS} days; without --until it has no end")
    return moment


def words(moment: float, now: float) -> str:
    """Return `moment` in words, such as "today 18:00 (CET)", with the year if it is another."""
    then, today = _local(moment), _local(now).date()
    clock = f"{then:%H:%M:%S}" if then.second else f"{then:%H:%M}"
    zone = f"({then:%Z})"
    if then.date() == today:
        return f"today {clock} {zone}"
    if then.date() == today + timedelta(days=1):
        return f"tomorrow {clock} {zone}"
    year = "" if then.year == today.year else f" {then.year}"
    return f"{then:%a %b} {then.day}{year} {clock} {zone}"


def _local(moment: float) -> datetime:
    """Return `moment` in the process's time zone."""
    return datetime.fromtimestamp(moment).astimezone()


def _length(said: str, now: float) -> float:
    """Days are those of the calendar: a day after 18:00 it is 18:00, also when clocks change."""
    days = seconds = 0
    for number, unit in _PART.findall(said):
        if unit in _DAYS:
            days += int(number) * _DAYS[unit]
        elif unit in _SECONDS:
            seconds += int(number) * _SECONDS[unit]
        elif unit in ("am", "pm"):
            raise WhenError("is not by 24 hours: 6 pm is 18:00")
        else:
            raise WhenError(f'has "{unit}", which is no unit: use s, min, h, days or weeks')
    if not days and not seconds:
        raise WhenError("is no time at all: the status would end at once")
    if days:
        now = (datetime.fromtimestamp(now) + timedelta(days=days)).timestamp()
    return now + seconds


def _moment(said: str, now: float) -> float:
    match = _MOMENT.fullmatch(said)
    if match is None:
        raise WhenError(f"is no time that can be understood: {HOW}")
    here = datetime.fromtimestamp(now)
    clock, over = _clock(match)
    day, repeats = _day(match, here.date())
    naive = datetime.combine(day, clock) + timedelta(days=over)
    if match["zone"]:
        if match["date"] is None:
            raise WhenError("has a time zone, but no date: write it as 2026-12-24T09:00+01:00")
        moment = naive.replace(tzinfo=_zone(match["zone"])).timestamp()
    else:
        if repeats and naive <= here:
            naive += timedelta(days=7)
        moment = _on_the_clock(naive, now)
    if moment <= now:
        other = "" if match["day"] or match["date"] else f'; for tomorrow, write "tomorrow {said}"'
        raise WhenError(f"has passed: it is {_local(now):%H:%M (%Z)} now{other}")
    return moment


def _clock(match: re.Match[str]) -> tuple[time, int]:
    """Return the time of the day, and 1 if it is 24:00, the end of that day."""
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if (hour, minute, second) == (24, 0, 0):
        return time(0), 1
    try:
        return time(hour, minute, second), 0
    except ValueError:
        raise WhenError("is no time of a day: 00:00 to 24:00") from None


def _day(match: re.Match[str], today: date) -> tuple[date, bool]:
    """Return the day that is named, and whether it comes again a week later: a weekday."""
    if match["date"]:
        try:
            return date.fromisoformat(match["date"]), False
        except ValueError:
            raise WhenError(f"has {match['date']}, and there is no such day") from None
    name = match["day"] or "today"
    if name in ("today", "tomorrow"):
        return today + timedelta(days=int(name == "tomorrow")), False
    for number, weekday in enumerate(_WEEKDAYS):
        if name in (weekday, weekday[:3]):
            return today + timedelta(days=(number - today.weekday()) % 7), True
    raise WhenError(f'has "{name}", which is no day: {HOW}')


def _zone(said: str) -> timezone:
    if said == "z":
        return UTC
    offset = timedelta(hours=int(said[1:3]), minutes=int(said[4:]))
    if offset >= timedelta(days=1) or int(said[4:]) > 59:
        raise WhenError(f"has {said}, which is no time zone")
    return timezone(-offset if said[0] == "-" else offset)


def _on_the_clock(naive: datetime, now: float) -> float:
    """Return the moment when clocks here show `naive`; of two, the first that is yet to come."""
    first, second = (naive.replace(fold=fold).timestamp() for fold in (0, 1))
    if datetime.fromtimestamp(first).replace(fold=0) != naive:
        raise WhenError("does not exist here that day: clocks are put forward over it")
    return first if first > now else second
