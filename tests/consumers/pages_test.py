# SPDX-License-Identifier: Apache-2.0
"""Every toml block of every page of daemon/doc is one that the service takes, also where no other
test runs it.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import LIMIT_S, PAGES, blocks, page  # noqa: E402
import tap  # noqa: E402
from harness import SMARTMETERD, with_password_file  # noqa: E402

# What a block may leave to another one of its page: the broker of a source.
BROKER = '\n[broker.{}]\nurl = "mqtt://localhost"\nrole = "both"\n'
# Their first lines say whose file it is.
OTHERS = re.compile(r"# /etc/telegraf/")


class Pages(unittest.TestCase):
    def check(self, text):
        with tempfile.TemporaryDirectory() as directory:
            config = pathlib.Path(directory) / "smartmeterd.toml"
            config.write_text(with_password_file(text, pathlib.Path(directory)), encoding="utf-8")
            return subprocess.run([SMARTMETERD, "--check", "--config", str(config)],
                                  capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def test_the_service_takes_every_block_of_every_page(self):
        checked = {}
        for path in sorted(PAGES.glob("*.md")):
            for number, text in enumerate(blocks(path.name, "toml"), 1):
                if OTHERS.match(text):
                    continue
                table = tomllib.loads(text)
                brokers = {source["broker"] for source in table.get("source", {}).values()}
                for broker in sorted(brokers - set(table.get("broker", {}))):
                    text += BROKER.format(broker)
                with self.subTest(name=path.name, block=number):
                    done = self.check(text)
                    self.assertEqual(done.returncode, 0, f"{text}\n{done.stderr}")
                    self.assertNotIn("warning", done.stderr.lower())
                checked[path.name] = checked.get(path.name, 0) + 1
        # A change of the fences must not leave a page unread.
        for name in ("mqtt.md", "sources.md", "p1-export.md", "fleet.md", "home-assistant.md"):
            self.assertGreater(checked.get(name, 0), 0, name)

    def test_a_wrong_block_would_be_seen(self):
        self.assertNotEqual(self.check('[broker.home]\nurl = "mqtt://x"\nraw = 1\n').returncode, 0)
        self.assertNotEqual(self.check('[source.a]\nbroker = "b"\nformat = "raw"\n').returncode, 0)

    def test_every_page_has_its_test_in_the_table(self):
        rows = dict(re.findall(r"(?m)^ *\| `([\w-]+\.md)` \| `([^`]+)`", (
            PAGES.parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")))
        self.assertEqual(set(rows), {path.name for path in PAGES.glob("*.md")})
        for name, test in rows.items():
            self.assertTrue((PAGES.parent.parent / "tests" / test).is_file(), name)

    def test_the_limits_stand_where_the_page_says(self):
        rows = re.findall(r"(?m)^\| .+ \| `(\w+)` \| `([\w/.]+)` \|$", page("design.md"))
        self.assertGreater(len(rows), 30)
        for name, file in rows:
            text = (PAGES.parent.parent / file).read_text(encoding="utf-8")
            self.assertRegex(text, rf"\b{name}( =|\{{)", file)


if __name__ == "__main__":
    tap.main()
