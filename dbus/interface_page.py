#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the page org.smartmeterd1(5), as scdoc reads it, from a head and the interface's XML.

Usage: interface_page.py HEAD.scd INTERFACE.xml

The head is printed as it is; in place of the line "%interfaces" stands every interface with its
properties, methods and signals. What they mean is in the comments of the XML, which begin with the
member's name and a colon; "@name:" describes an argument.
"""

import re
import sys
import textwrap
import xml.etree.ElementTree as ElementTree

CHANGES = {
    "true": "",
    "const": "constant",
    "invalidates": "change announced without the value",
    "false": "no change signals",
}
EMITS_CHANGED = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def escape(text):
    """Text in which scdoc sees no markup."""
    return re.sub(r"([\\*_<>#~`\[\]|+-])", r"\\\1", text)


def paragraphs(text):
    """Paragraphs of a comment, unfolded and escaped; names of errors stay as they are."""
    return [escape(" ".join(paragraph.split()))
            for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


class Description:
    """What a comment says of a member."""

    def __init__(self, comment=""):
        body = comment.partition(":")[2]
        self.arguments = {}
        kept, argument = [], None
        for line in textwrap.dedent(body.lstrip("\n")).splitlines():
            found = re.match(r"\s*@(\w+):\s*(.*)", line)
            if found:
                argument = found.group(1)
                self.arguments[argument] = found.group(2)
            elif argument and line.strip():
                self.arguments[argument] += " " + line.strip()
            else:
                argument = None
                kept.append(line)
        self.short = self.arguments.pop("short_description", "")
        self.paragraphs = paragraphs("\n".join(kept))


def fill(text, indent):
    """Lines that people can read in the source; a line never begins with what scdoc would take."""
    return textwrap.fill(text, 96, initial_indent=indent, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False)


class Page:
    def __init__(self):
        self.lines = []

    def add(self, *lines):
        self.lines.extend(lines)

    def body(self, description, arguments=()):
        """The indented text below a member."""
        blocks = [fill(text, "\t") for text in description.paragraphs]
        for argument in arguments:
            name = argument.get("name")
            text = f"_{escape(name)}_ ({escape(argument.get('type'))})"
            said = description.arguments.get(name)
            blocks.append(fill(f"{text}: {escape(' '.join(said.split()))}" if said else text, "\t"))
        for block in blocks:
            self.add(block, "")

    def property(self, member, description):
        annotation = {a.get("name"): a.get("value") for a in member.findall("annotation")}
        notes = [member.get("access"), CHANGES[annotation.get(EMITS_CHANGED, "true")]]
        self.add(f"*{escape(member.get('name'))}* ({escape(member.get('type'))}), "
                 + ", ".join(note for note in notes if note))
        self.body(description)

    def call(self, member, description):
        """A method, or a signal, whose arguments are all of one direction."""
        arguments = member.findall("arg")

        def text(some):
            return ", ".join(f"{escape(a.get('type'))} _{escape(a.get('name'))}_" for a in some)
        given = [a for a in arguments if a.get("direction", "in") == "in"]
        answered = [a for a in arguments if a.get("direction", "in") == "out"]
        arrow = f" → ({text(answered)})" if answered else ""
        self.add(f"*{escape(member.get('name'))}*({text(given)}){arrow}")
        self.body(description, arguments)

    def interface(self, interface, descriptions):
        name = interface.get("name")
        description = descriptions.get(name, Description())
        self.add(f"# INTERFACE {name.rpartition('.')[2].upper()}", "",
                 f"*{escape(name)}*: {escape(description.short)}", "")
        for text in description.paragraphs:
            self.add(fill(text, ""), "")
        for tag, title, write in (("property", "Properties", self.property),
                                  ("method", "Methods", self.call),
                                  ("signal", "Signals", self.call)):
            members = interface.findall(tag)
            if members:
                self.add(f"## {title}", "")
            for member in members:
                write(member, descriptions.get((name, member.get("name")), Description()))


def read(path):
    """(root element, {interface or (interface, member): Description})."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    descriptions = {}

    def collect(parent, interface):
        comment = None
        for child in parent:
            if child.tag is ElementTree.Comment:
                comment = child.text.strip()
                continue
            name = child.get("name")
            if comment and comment.partition(":")[0] == name:
                descriptions[(interface, name) if interface else name] = Description(comment)
            comment = None
            if child.tag == "interface":
                collect(child, name)
    collect(root, None)
    return root, descriptions


def main():
    head, xml = sys.argv[1:]
    root, descriptions = read(xml)
    page = Page()
    for interface in root.findall("interface"):
        page.interface(interface, descriptions)
    with open(head, encoding="utf-8") as text:
        for line in text.read().splitlines():
            print("\n".join(page.lines) if line == "%interfaces" else line)


if __name__ == "__main__":
    main()
