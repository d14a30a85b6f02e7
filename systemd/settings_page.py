#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the page smartmeterd.toml(5), as scdoc reads it, from a head and smartmeterd.toml.

Usage: settings_page.py HEAD.scd smartmeterd.toml

The head is printed as it is; in place of a line "%settings TABLE" stand the settings of [TABLE] and
[TABLE.NAME] with what the comments before them say. A table that the head does not name comes in
place of the line "%settings".
"""

import re
import sys
import textwrap


def escape(text):
    """Text in which scdoc sees no markup."""
    return re.sub(r"([\\*_<>#~`\[\]|+-])", r"\\\1", text)


def plain(comment):
    """Without what leads from one comment to the next: "A port …", "… or another"."""
    text = re.sub(r",? …$", ".", comment)
    return re.sub(r"^… (?:or )?(.)", lambda first: first.group(1).upper(), text)


class Table:
    """The settings below one word: [adapter.main] and [adapter.attic] are one."""

    def __init__(self, name, about):
        self.name = name
        self.about = about
        self.groups = []  # ([(key, value)], comment)

    def has(self, key):
        return any(key == known for keys, _ in self.groups for known, _ in keys)


def tables(path):
    """The tables in the order of the file."""
    found = {}
    table, about, comment, grown = None, "", [], False
    with open(path, encoding="utf-8") as text:
        for line in text.read().splitlines():
            header = re.match(r"#?\[(\w+)(?:\.\w+)?\]$", line)
            setting = re.match(r'#?([\w.]+|"[^"]+") = (.*)$', line)
            if header:
                about = " ".join(comment)
                table = found.setdefault(header.group(1), Table(header.group(1), about))
                comment, grown = [], False
            elif setting and table:
                key, value = setting.groups()
                if not table.has(key):
                    if grown and not comment:
                        table.groups[-1][0].append((key, value))
                    else:
                        # The first one of a table may be explained by what stands before the table.
                        table.groups.append(([(key, value)], plain(" ".join(comment) or about)))
                    grown, about = True, ""
                comment = []
            elif line.startswith("# "):
                comment.append(line[2:])
            else:
                comment, grown = [], False
    return found


def written(table):
    """The settings of a table as scdoc's text."""
    lines = []
    for keys, comment in table.groups:
        names = [f"*{escape(key)}* = {escape(value)}" for key, value in keys]
        lines += ["++\n".join(names),
                  textwrap.fill(escape(comment), 96, initial_indent="\t", subsequent_indent="\t",
                                break_long_words=False, break_on_hyphens=False), ""]
    return "\n".join(lines)


def main():
    head, settings = sys.argv[1:]
    known = tables(settings)
    with open(head, encoding="utf-8") as text:
        lines = text.read().splitlines()
    named = [line.split()[1] for line in lines if line.startswith("%settings ")]
    for line in lines:
        if line == "%settings":
            for name, table in known.items():
                if name not in named:
                    print(f"## [{name}]\n\n{escape(table.about)}\n\n{written(table)}")
        elif line.startswith("%settings "):
            print(written(known[line.split()[1]]))
        else:
            print(line)


if __name__ == "__main__":
    main()
