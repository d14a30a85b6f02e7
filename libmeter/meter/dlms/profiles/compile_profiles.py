#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the profiles of meter families into the tables of list_rules.hpp.

    compile_profiles.py OUTPUT.cpp PROFILE…

libmeter/doc/cosem-lists.md describes the format. Every complaint names file and line.
"""

import re
import sys

STRINGS = ("octet_string", "visible_string", "utf8_string")
# Type of an element: the tags that it may have, and what it is read as.
TYPES = {
    "u8": (("unsigned_integer",), "number"), "i8": (("integer",), "number"),
    "u16": (("long_unsigned",), "number"), "i16": (("long_integer",), "number"),
    "u32": (("double_long_unsigned",), "number"), "i32": (("double_long",), "number"),
    "u64": (("long64_unsigned",), "number"), "i64": (("long64",), "number"),
    "enum": (("enumeration",), "number"), "bool": (("boolean",), "number"),
    "text": (STRINGS, "text"), "date-time": (("octet_string", "date_time"), "date_time"),
    "octets": (("octet_string",), "octets"), "list": (("array", "structure"), "list"),
}
UNITS = {"W": "watt", "var": "var", "VA": "volt_ampere", "Wh": "watt_hour", "varh": "var_hour",
         "VAh": "volt_ampere_hour", "V": "volt", "A": "ampere", "Hz": "hertz", "°": "degree"}
MAGNITUDES = {"energy": "energy", "power": "power", "voltage": "voltage", "current": "current",
              "power-factor": "power_factor"}
TOPS = {"structure": "structure", "array": "array"}
STARTS = {"date-time": "date_time", "code": "code", "text": "text", "entry": "entry",
          "other": "other"}
FORMS = {"flat": "flat", "nested": "nested", "pairs": "pairs", "attributes": "attributes"}
ITEMS_MAX = 256     # DataIndex::items_max
ADDENDS_MAX = 4     # PositionSum::addends_max
TITLE_LETTERS = 3   # of the manufacturer, in a system title
ID_MAX = 64         # MeterId
SCALE_UNKNOWN = "Scales::unknown"


class Complaint(Exception):
    """What is wrong with a profile, and where."""


class Place:
    """A line of a file, for complaints and for those who read them."""

    def __init__(self, path, number):
        self.path, self.number = path, number

    def __str__(self):
        return f"{self.path}:{self.number}"

    def refuse(self, what):
        raise Complaint(f"{self}: {what}")

    def one_of(self, table, word, what):
        if word not in table:
            self.refuse(f"unknown {what} '{word}': one of {', '.join(table)}")
        return table[word]

    def number_of(self, word, highest, what, base=10):
        try:
            value = int(word, base)
        except ValueError:
            self.refuse(f"{what} '{word}' is no number")
        if not 0 <= value <= highest:
            self.refuse(f"{what} {word} is beyond {highest}")
        return value

    def step_of(self, word):
        """'0.01' → -2: steps are powers of ten."""
        if re.fullmatch(r"10*", word):
            return len(word) - 1
        if re.fullmatch(r"0\.0*1", word):
            return 2 - len(word)
        self.refuse(f"'{word}' is no power of ten (0.01, 0.1, 1, 10 …)")

    def code_of(self, word):
        found = re.fullmatch(r"(\d+)-(\d+):(\d+)\.(\d+)\.(\d+)", word)
        if not found or any(int(group) > 255 for group in found.groups()):
            self.refuse(f"'{word}' is no OBIS code A-B:C.D.E")
        return tuple(int(group) for group in found.groups())

    def text_of(self, word):
        if not re.fullmatch(r"[!#-\[\]-~]+", word):
            self.refuse(f"'{word}': printable ASCII without quotes")
        return word


class Section:
    """One list: what its lines say."""

    def __init__(self, kind, name, family, place):
        self.kind, self.name, self.meters, self.place = kind, name, family, place
        self.title = self.text = ""
        self.scales = {}

    def line(self, place, key, words):
        read = getattr(self, "read_" + key.replace("-", "_"), None)
        if read is None:
            known = [n[5:].replace("_", "-") for n in dir(self) if n.startswith("read_")]
            place.refuse(f"unknown '{key}' in {self.kind}: one of {', '.join(known)}")
        read(place, words)

    @staticmethod
    def words(place, words, count, form):
        if len(words) != count:
            place.refuse(f"expected: {form}")
        return words

    def read_meters(self, place, words):
        self.meters = " ".join(words)

    def read_title(self, place, words):
        (self.title,) = self.words(place, words, 1, "title LETTERS")
        if not re.fullmatch(r"[A-Z]{%d}" % TITLE_LETTERS, self.title):
            place.refuse(f"a system title begins with {TITLE_LETTERS} capital letters")

    def read_scale(self, place, words):
        for part in " ".join(words).split(","):
            magnitude, step = self.words(place, part.split(), 2, "scale MAGNITUDE STEP, …")
            field = place.one_of(MAGNITUDES, magnitude, "magnitude")
            if field in self.scales:
                place.refuse(f"{magnitude} has a scale already")
            self.scales[field] = place.step_of(step)


class Codes(Section):
    """A list whose elements carry codes."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.top = self.start = self.form = None
        self.items = 0
        self.text_code = self.where_code = None
        self.where_text = ""
        self.voltage_above = 0

    def read_list(self, place, words):
        self.top = place.one_of(TOPS, *self.words(place, words, 1, "list TYPE"), "type of list")

    def read_begins(self, place, words):
        self.start = place.one_of(STARTS, *self.words(place, words, 1, "begins WITH"), "beginning")

    def read_entries(self, place, words):
        self.form = place.one_of(FORMS, *self.words(place, words, 1, "entries FORM"), "form")

    def read_items(self, place, words):
        self.items = place.number_of(*self.words(place, words, 1, "items NUMBER"), ITEMS_MAX,
                                     "items")

    def read_text(self, place, words):
        if len(words) == 3 and words[1] == "as":
            self.text_code = place.code_of(words[2])
        else:
            self.words(place, words, 1, "text BEGINNING [as CODE]")
        self.text = place.text_of(words[0])

    def read_where(self, place, words):
        form = "where CODE begins TEXT, or where voltage above VOLTS"
        subject, relation, value = self.words(place, words, 3, form)
        if (subject, relation) == ("voltage", "above"):
            self.voltage_above = place.number_of(value, 65535, "voltage")
        elif relation == "begins":
            self.where_code, self.where_text = place.code_of(subject), place.text_of(value)
        else:
            place.refuse(f"expected: {form}")

    def finish(self):
        for field, line in ("top", "list"), ("start", "begins"), ("form", "entries"):
            if getattr(self, field) is None:
                self.place.refuse(f"{self.name}: '{line}' is missing")

    def rank(self):
        """The more strings tell it from others, the earlier it is tried."""
        return (bool(self.text) + bool(self.title) + bool(self.where_text)
                + bool(self.voltage_above), bool(self.items))

    def excludes(self, other):
        """No list can be both."""
        return ((self.top, self.start, self.form) != (other.top, other.start, other.form)
                or (self.items and other.items and self.items != other.items)
                or differ(self.text, other.text) or differ(self.title, other.title)
                or (self.where_code == other.where_code
                    and differ(self.where_text, other.where_text)))


class PushObjects(Section):
    """A list that begins with the descriptors of its objects."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.channels = []
        self.wide = False

    def read_channel(self, place, words):
        self.channels.append(place.number_of(*self.words(place, words, 1, "channel NUMBER"), 255,
                                             "channel"))

    def read_wide(self, place, words):
        self.words(place, words, 0, "wide")
        self.wide = True

    def finish(self):
        if not self.channels:
            self.place.refuse(f"{self.name}: 'channel' is missing")

    def rank(self):
        return (self.wide,)

    def excludes(self, other):
        return not set(self.channels) & set(other.channels)


class Element:
    """One line of a list without codes."""

    def __init__(self, place, type_name, words):
        self.place = place
        self.tags, self.kind, self.size = (), None, 0
        for each in type_name.split("|"):
            plain, _, size = each.partition("(")
            tags, kind = place.one_of(TYPES, plain, "type")
            if (plain == "octets") != bool(size) or self.kind not in (None, kind):
                place.refuse(f"'{type_name}': octets have a size, and alternatives are of a kind")
            if size:
                self.size = place.number_of(size.rstrip(")"), 8, "octets")
            self.tags += tags
            self.kind = kind
        self.code, self.unit, self.scale, self.text = None, "none", 0, ""
        self.optional = self.is_id = False
        self.id_prefix, self.id_last = "", 0
        self.options(place, words)
        if self.code is None:
            if self.unit != "none" or self.is_id:
                place.refuse("an element without a code has no unit and is no id")
        elif self.kind == "list":
            place.refuse("a list within the list is passed over: its code is '-'")

    def options(self, place, words):
        if not words:
            place.refuse("expected: TYPE CODE …; '-' for an element that is passed over")
        self.code = None if words[0] == "-" else place.code_of(words[0])
        rest = words[1:]
        while rest:
            word = rest.pop(0)
            if word in UNITS:
                self.unit = UNITS[word]
            elif word == "?" or word[0].isdigit():
                self.scale = SCALE_UNKNOWN if word == "?" else place.step_of(word)
                if not rest or rest[0] not in UNITS:
                    place.refuse(f"a unit follows '{word}': one of {', '.join(UNITS)}")
            elif word == "optional":
                self.optional = True
            elif word == "number" and self.kind == "octets":
                self.kind = "octet_number"
            elif word == "begins" and rest and self.kind == "text":
                self.text = place.text_of(rest.pop(0))
            elif word == "id" and self.kind == "text":
                self.is_id = True
                found = re.fullmatch(r"([A-Z]+)\+(\d+)", rest[0]) if rest else None
                if found:
                    rest.pop(0)
                    self.id_prefix = found.group(1)
                    self.id_last = place.number_of(found.group(2), ID_MAX - len(self.id_prefix),
                                                   "characters")
            else:
                place.refuse(f"unknown '{word}'")
        if self.is_id and self.optional:
            place.refuse("an id is not optional")
        if self.unit != "none" and self.kind != "number":
            place.refuse("only a number has a unit")

    def excludes(self, other):
        """No element can be both."""
        mine = set(self.tags) | ({"null_data"} if self.optional else set())
        common = mine & (set(other.tags) | ({"null_data"} if other.optional else set()))
        if not common - set(STRINGS):
            kinds = {self.kind, other.kind}
            sizes = [12 if e.kind == "date_time" else e.size for e in (self, other)]
            # A date-time of our times begins with 07 or 08: no printable text does.
            return (not common or kinds == {"text", "date_time"} or differ(self.text, other.text)
                    or (all(sizes) and sizes[0] != sizes[1]))
        return False


class Positions(Section):
    """A list without codes: what each element is, in order."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.elements, self.ends, self.sums = [], [], []
        self.rows = {}  # by number of elements
        self.invoke_id = None
        self.needs_date_time = self.needs_checksum = False

    def line(self, place, key, words):
        if key.split("|")[0].split("(")[0] in TYPES:
            self.elements.append(Element(place, key, words))
        elif key == "scale":
            place.refuse("elements of a list without codes have their own scales")
        else:
            super().line(place, key, words)

    def read_requires(self, place, words):
        if words == ["date-time"]:
            self.needs_date_time = True
        elif words == ["checksum"]:
            self.needs_checksum = True
        elif len(words) == 2 and words[0] == "invoke-id":
            self.invoke_id = place.number_of(words[1], 0xffffffff, "invoke-id", 16)
        else:
            place.refuse("expected: requires date-time, checksum or invoke-id HEX")

    def read_may_end(self, place, words):
        self.words(place, words, 0, "may-end")
        self.ends.append(len(self.elements))

    def read_adds_up(self, place, words):
        codes = [place.code_of(word) for word in words[::2]]
        signs = words[1::2]
        if not 3 <= len(codes) <= 1 + ADDENDS_MAX or signs != ["="] + ["+"] * (len(codes) - 2):
            place.refuse("expected: adds-up CODE = CODE + CODE …")
        known = [element.code for element in self.elements]
        for code in codes:
            if code not in known:
                place.refuse("adds-up: no element above has every one of these codes")
        self.sums.append([known.index(code) for code in codes])

    def finish(self):
        if not self.elements:
            self.place.refuse(f"{self.name}: no elements")
        if len(self.elements) > ITEMS_MAX:
            self.place.refuse(f"{self.name}: more than {ITEMS_MAX} elements")
        if sum(element.is_id for element in self.elements) > 1:
            self.place.refuse(f"{self.name}: more than one id")
        if all(element.code is None for element in self.elements):
            self.place.refuse(f"{self.name}: nothing of it has a code")
        if self.elements[0].kind == "list":
            self.elements[0].place.refuse("a list without codes does not begin with a list")
        self.ends.append(len(self.elements))
        if any(total >= min(self.ends) for numbers in self.sums for total in numbers):
            self.place.refuse(f"{self.name}: what adds up stands behind a 'may-end'")

    def excludes(self, other):
        if differ(self.title, other.title):
            return True
        if None not in (self.invoke_id, other.invoke_id) and self.invoke_id != other.invoke_id:
            return True
        common = set(self.ends) & set(other.ends)
        return not any(all(not a.excludes(b) for a, b in
                           zip(self.elements[:end], other.elements[:end])) for end in common)


def differ(one, other):
    """Two beginnings that no string can have both."""
    return not one.startswith(other) and not other.startswith(one)


KINDS = {"codes": Codes, "positions": Positions, "push-objects": PushObjects}


def read_profile(path):
    """The sections of a file."""
    sections, family = [], None
    with open(path, encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            place = Place(path, number)
            indented = text[:1].isspace()
            words = re.sub(r"(^|\s)#.*", "", text).split()
            if not words:
                continue
            if '"' in text.split("#")[0] or "\\" in text:
                place.refuse("neither quotes nor backslashes")
            key, rest = words[0], words[1:]
            if indented and sections:
                sections[-1].line(place, key, rest)
            elif indented:
                place.refuse("an indented line belongs to a list, and none has begun")
            elif key == "family":
                family = " ".join(rest)
            elif key in KINDS:
                if not family:
                    place.refuse("the file begins with: family NAMES OF METERS")
                if len(rest) != 1 or not re.fullmatch(r"[a-z0-9-]+", rest[0]):
                    place.refuse(f"expected: {key} NAME, of a-z, 0-9 and '-'")
                sections.append(KINDS[key](key, rest[0], family, place))
            else:
                place.refuse(f"unknown '{key}': family, or one of {', '.join(KINDS)}")
    if not sections:
        Place(path, 1).refuse("no list")
    for section in sections:
        section.finish()
    return sections


def refuse_ambiguous(sections):
    for i, one in enumerate(sections):
        for other in sections[:i]:
            if one.name == other.name:
                one.place.refuse(f"the name {one.name} is taken: {other.place}")
            if type(one) is not type(other) or one.excludes(other):
                continue
            if isinstance(one, Positions) or one.rank() == other.rank():
                one.place.refuse(f"a telegram could be {one.name} as well as {other.name} "
                                 f"({other.place}): nothing tells them apart")


def quoted(text):
    return f'"{text}"'


def obis(code):
    return "Obis{%s}" % (", ".join(map(str, code)) if code else "")


def scales(section):
    order = ("energy", "power", "voltage", "current", "power_factor")
    return "{%s}" % ", ".join(f".{field} = {section.scales[field]}" for field in order
                              if field in section.scales)


def position(element):
    tags = " | ".join(f"tag_bit(DataTag::{tag})" for tag in
                      element.tags + (("null_data",) if element.optional else ()))
    return (f"    {{{tags}, {quoted(element.text)}, {obis(element.code)},\n"
            f"     Unit::{element.unit}, {element.scale}, Position::Kind::{element.kind}, "
            f"{element.size}}},")


def positional_rows(index, section):
    array = f"positions_{index}"
    sums = f"sums_{index}"
    yield f"constexpr Position {array}[] = {{"
    for element in section.elements:
        yield position(element)
    yield "};"
    if section.sums:
        yield f"constexpr PositionSum {sums}[] = {{"
        for total, *parts in section.sums:
            yield f"    {{{total}, {len(parts)}, {{{', '.join(map(str, parts))}}}}},"
        yield "};"
    for end in section.ends:
        ids = [i for i, element in enumerate(section.elements[:end]) if element.is_id]
        at = ids[0] if ids else "PositionalList::no_id"
        prefix = quoted(section.elements[ids[0]].id_prefix if ids else "")
        last = section.elements[ids[0]].id_last if ids else 0
        invoke_id = "std::nullopt" if section.invoke_id is None else f"0x{section.invoke_id:08x}u"
        section.rows[end] = (
            f"    {{{quoted(section.name)}, {quoted(section.meters)}, {quoted(section.title)},\n"
            f"     std::span({array}, {end}), "
            f"{sums if section.sums else 'std::span<const PositionSum>()'}, {at},\n"
            f"     {prefix}, {last}, {invoke_id}, {str(section.needs_date_time).lower()}, "
            f"{str(section.needs_checksum).lower()}}},")


def codes_row(section):
    return (f"    {{{quoted(section.name)}, DataTag::{section.top}, "
            f"ListStart::{section.start}, ListForm::{section.form},\n"
            f"     {section.items}, {quoted(section.text)}, {quoted(section.title)}, "
            f"{obis(section.text_code)},\n"
            f"     {obis(section.where_code)}, {quoted(section.where_text)}, "
            f"{section.voltage_above}, {scales(section)},\n"
            f"     {quoted(section.meters)}}},")


def table(kind, name, rows):
    yield f"constexpr auto {name} = std::to_array<{kind}>({{"
    yield from rows
    yield "});"


def source(sections):
    """The lines of the tables."""
    of_kind = {kind: [s for s in sections if type(s) is kind] for kind in KINDS.values()}
    for rows in of_kind[Codes], of_kind[PushObjects]:
        rows.sort(key=lambda section: section.rank(), reverse=True)
    yield "// Made by compile_profiles.py from the profiles: edit those."
    yield '#include "meter/dlms/list_rules.hpp"'
    yield "#include <array>"
    yield "namespace meter::dlms {"
    yield "namespace {"
    for index, section in enumerate(of_kind[Positions]):
        yield from positional_rows(index, section)
    counts = range(ITEMS_MAX + 1)
    by_count = [[s.rows[n] for s in of_kind[Positions] if n in s.rows] for n in counts]
    yield from table("PositionalList", "positional_list_table",
                     [row for rows in by_count for row in rows])
    starts = [sum(map(len, by_count[:n])) for n in range(max(
        (n for n in counts if by_count[n]), default=0) + 2)]
    yield f"constexpr std::uint8_t positional_list_starts[] = {{{', '.join(map(str, starts))}}};"
    yield from table("ListRule", "list_rule_table", map(codes_row, of_kind[Codes]))
    yield from table("PushObjectRule", "push_object_rule_table", [
        f"    {{{quoted(s.name)}, {channel}, {str(s.wide).lower()}, {scales(s)}, "
        f"{quoted(s.meters)}}}," for s in of_kind[PushObjects] for channel in s.channels])
    yield "}  // namespace"
    yield "std::span<const PositionalList> positional_lists(std::size_t items) noexcept {"
    yield "  if (items + 1 >= std::size(positional_list_starts)) return {};"
    yield "  const std::size_t first = positional_list_starts[items];"
    yield ("  return std::span(positional_list_table)"
           ".subspan(first, positional_list_starts[items + 1] - first);")
    yield "}"
    for kind, name in (("ListRule", "list_rule"), ("PushObjectRule", "push_object_rule")):
        yield f"std::span<const {kind}> {name}s() noexcept {{ return {name}_table; }}"
    yield "}  // namespace meter::dlms"


def main(arguments):
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    output, *paths = arguments
    try:
        sections = [section for path in paths for section in read_profile(path)]
        refuse_ambiguous(sections)
        text = "\n".join(source(sections)) + "\n"
    except (Complaint, OSError, UnicodeDecodeError) as complaint:
        print(complaint, file=sys.stderr)
        return 1
    with open(output, "w", encoding="utf-8") as out:
        out.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
