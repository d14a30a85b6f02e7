#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs scdoc from standard input to standard output; what people copy from the page stays whole.

Usage: page.py SCDOC

scdoc asks for no hyphenation before the title, with which groff's man macros begin anew: names of
members would be broken at the end of a line. And its "-" is a hyphen to groff, at which lines are
broken and which is no ASCII everywhere: names of options want a minus sign.
"""

import re
import subprocess
import sys


def main():
    page = subprocess.run(sys.argv[1:], stdin=sys.stdin, stdout=subprocess.PIPE, check=True)
    text, count = re.subn(r"(?m)^(\.TH .*)$", r"\1\n.nh\n.ad l", page.stdout.decode(), count=1)
    if count != 1:
        sys.exit("no title in what scdoc wrote")
    text = re.sub(r"(?m)^[^.].*$", lambda line: line.group().replace("-", r"\-"), text)
    sys.stdout.buffer.write(text.encode())


if __name__ == "__main__":
    main()
