#!/usr/bin/env python3
"""libcairn.so shows the functions of cairn.h and nothing else, under its soname.

  exports_test.py LIBRARY HEADER
"""
import re
import subprocess
import sys
import unittest

LIBRARY, HEADER = sys.argv[1:3]
SONAME = "libcairn.so.0"


def tool(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


class Exports(unittest.TestCase):
    def test_they_are_what_the_header_declares(self):
        with open(HEADER, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/|^#.*?$", "", file.read(), flags=re.S | re.M)
        declared = set(re.findall(r"CAIRN_API\s[^(;]*?(\w+)\(", text))
        self.assertGreater(len(declared), 20)
        shown = tool("nm", "--dynamic", "--defined-only", "--format=posix", LIBRARY)
        symbols = {line.split()[0] for line in shown.splitlines()}
        self.assertEqual({s for s in symbols if not s.startswith("CAIRN_0")},
                         {name + "@@CAIRN_0" for name in declared})

    def test_the_soname_has_the_number_of_the_interface(self):
        found = re.search(r"\(SONAME\).*\[(.*)\]", tool("readelf", "--dynamic", LIBRARY))
        self.assertEqual(found.group(1), SONAME)

    def test_it_needs_no_command_line_and_no_server(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", tool("readelf", "--dynamic", LIBRARY))
        self.assertTrue(any(name.startswith("librocksdb") for name in needed), needed)
        self.assertFalse([name for name in needed if "prometheus" in name], needed)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
