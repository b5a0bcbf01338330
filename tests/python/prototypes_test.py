#!/usr/bin/env python3
"""The package declares the functions of cairn.h: all of them, with as many arguments of such sizes.

Needs CAIRN_HEADER in the environment.
"""
import ctypes
import os
import re
import unittest

from cairn import _errors, _library

SIZES = {"int": 4, "unsigned": 4, "uint32_t": 4, "float": 4, "uint64_t": 8, "size_t": 8}


def declared():
    """{function: (returns, [arguments])} of the header, as texts."""
    with open(os.environ["CAIRN_HEADER"], encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    found = re.findall(r"CAIRN_API\s+([\w\s*]+?)\s*\b(cairn_\w+)\(([^)]*)\);", text)
    return {name: (returns.strip(), [" ".join(a.split()) for a in arguments.split(",")]
                   if arguments.strip() != "void" else [])
            for returns, name, arguments in found}


class Prototypes(unittest.TestCase):
    def test_every_function_is_there_and_no_other(self):
        header = declared()
        self.assertGreater(len(header), 40)
        self.assertEqual(set(header), set(_library.CHECKED) | set(_library.PLAIN))

    def test_arguments_have_the_number_and_size_of_the_header(self):
        for name, (returns, arguments) in declared().items():
            self.assertEqual(name in _library.CHECKED, returns == "cairn_status", name)
            kinds = _library.CHECKED.get(name) or _library.PLAIN.get(name, (None, []))[1]
            self.assertEqual(len(kinds), len(arguments), name)
            for kind, argument in zip(kinds, arguments):
                word = re.sub(r"\bconst\b", "", argument).split()[0]
                pointer = "*" in argument or word.endswith("_fn")
                size = 8 if pointer else SIZES.get(word, 4)
                self.assertEqual(ctypes.sizeof(kind), size, f"{name}: {argument}")
                self.assertEqual(kind is ctypes.c_float, word == "float" and not pointer,
                                 f"{name}: {argument}")

    def test_every_code_has_an_exception(self):
        with open(os.environ["CAIRN_HEADER"], encoding="utf-8") as file:
            codes = re.findall(r"^\s+CAIRN_\w+ = (\d+),?\s*/\*.*\*/$", file.read(), flags=re.M)
        known = {int(code) for code in codes[:12]}
        self.assertEqual({error.status for error in _errors.Error.__subclasses__()}, known)


if __name__ == "__main__":
    unittest.main()
