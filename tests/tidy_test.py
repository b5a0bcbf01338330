"""Checks the tree against tests/tidy_rules.py.

  tidy_test.py ROOT         prints each violation as file:line: message; fails if there are any
  tidy_test.py --self-test  shows that each rule can fail, and passes what is allowed
"""
import os
import sys
import tempfile

import tidy_rules

LONG = "  f();\n"


def function(lines, signature="void F()"):
    """A function whose body spans `lines` lines, braces included."""
    return signature + " {\n" + LONG * (lines - 2) + "}\n"


# File, contents, and a fragment of the message expected (None: no complaint).
CASES = [
    ("base/a.h", '#include "index/b.h"\n', "base must not include index"),
    ("index/a.h", '#include "storage/b.h"\n', "index must not include storage"),
    ("kernels/a.h", '#include "index/b.h"\n', "kernels must not include index"),
    ("storage/a.h", '#include "engine/b.h"\n', "storage must not include engine"),
    ("engine/a.h", '#include "model/b.h"\n', "engine must not include model"),
    ("model/a.h", '#include "tools/b.h"\n', "model must not include tools"),
    ("bench/a.h", '#include "tools/b.h"\n', "bench must not include tools"),
    ("engine/a.h", '#include "tests/b.h"\n', "engine must not include tests"),
    ("examples/a.h", '#include "tools/b.h"\n', "examples must not include tools"),
    ("tools/a.h", '#include "capi/b.h"\n', "tools must not include capi"),
    ("capi/a.h", '#include "tools/b.h"\n#include "engine/c.h"\n', None),
    ("engine/a.h", '#include "b.h"\n', "by its path from the root"),
    ("engine/a.h", '#include "index/b.h"\n#include "engine/c.h"\n#include <vector>\n', None),
    ("tools/a.h", '#include "model/b.h"\n#include "bench/b.h"\n', None),
    ("tests/a.h", '#include "tools/b.h"\n', None),
    ("index/a.h", "#include <faiss/Index.h>\n", "adapter"),
    ("storage/tiered.h", "#include <rocksdb/db.h>\n", "adapter"),
    ("tools/a.h", "#include <prometheus/exposer.h>\n", "adapter"),
    ("base/a.h", "#include <oneapi/dnnl/dnnl.hpp>\n", "adapter"),
    ("base/a.h", "#include <oneapi/tbb/parallel_for.h>\n", "adapter"),
    ("base/a.h", "#include <tbb/parallel_for.h>\n", "adapter"),
    ("engine/a.h", "#include <cuda_runtime.h>\n", "adapter"),
    ("kernels/attention.h", "#include <cuda_runtime.h>\n", "adapter"),
    ("base/device_matmul.h", "#include <cublasLt.h>\n", "adapter"),
    ("base/cublas_lt.h", "#include <cublasLt.h>\n", None),
    ("storage/rocks_store.h", "#include <rocksdb/db.h>\n", None),
    ("base/a.h", "int x;\n" * 501, "501 lines"),
    ("base/a.h", "int x;\n" * 500, None),
    ("base/a.h", "//" + "x" * 99 + "\n", "101 columns"),
    ("base/a.h", "//" + "\u00e9" * 98 + "\n", None),
    ("base/a.h", function(71), "a function of 71 lines"),
    ("base/a.h", "namespace n {\nclass C {\n C() : a_{1}, b_(2)\n" + function(71, "") + "};\n}\n",
     "a function of 71 lines"),
    ("base/a.h", "auto g = [](int x)" + function(71, ""), "a function of 71 lines"),
    ("base/a.h", function(70) + function(70), None),
    ("base/a.h", "namespace n {\nclass C {\n" + function(40) + function(40) + "};\n}\n", None),
    ("base/a.h", "enum class E {\n" + "  kA,\n" * 90 + "};\n", None),
    ("base/a.h", "using namespace std;\n", "using namespace"),
    ("base/a.h", "// using namespace std;\nusing std::swap;\n", None),
    ("base/a.h", "std::shared_ptr<int> p;\n", "shared_ptr"),
    ("storage/rocks_options.h", "auto p = std::make_shared<Logger>();\n", None),
    ("base/a.h", "int* p = new int;\n", "naked new"),
    ("base/a.h", "std::unique_ptr<X> x(\n    new X(1));\nreturn std::unique_ptr<X>(new X());\n",
     None),
    ("base/a.h", "void F(int* p) { delete p; }\n", "naked delete"),
    ("base/a.h", "void* operator new[](size_t bytes);\nvoid operator delete(void* p);\n", None),
    ("base/a.h", 'X(const X&) = delete;  // a new one, and we throw "delete"\n', None),
    ("base/a.h", "void F() { throw 1; }\n", "throw"),
    ("base/a.h", 'const char* s = "throw new delete \\" shared_ptr";\n', None),
    ("base/a.h", 'auto s = R"(throw new "delete" shared_ptr)";\n', None),
    ("tests/a.h", "// TEST(A, B) {\n", "commented out"),
    ("tests/a.h", "/* TEST_F(A, B) {\n*/\n", "commented out"),
    ("tests/a.h", "TEST(A, DISABLED" + "_B) {}\n", "disabled"),
    ("tests/a.h", "TEST(A, B) { int not_commented_out; }\n", None),
    ("tests/room/lost_test.cc", "int x;\n", "no target"),
    ("docs/picture.bin", "x" * (256 * 1024 + 1), "bytes; the limit"),
    ("docs/picture.bin", "x" * 256 * 1024, None),
    ("tests/data/large.jsonl", "x" * (256 * 1024 + 1), None),
    ("docs/guide.md", "see /ho" + "me/me/file\n", "path of one machine"),
    ("docs/guide.md", "see /wo" + "rk/file\n", "path of one machine"),
    ("docs/guide.md", "see docs/text/file and $HOME/x\n", None),
    ("base/a.h", "// TO" + "DO: more\n", "unfinished"),
]


def check_case(name, contents, expected):
    """A sentence about what went wrong, or None."""
    with tempfile.TemporaryDirectory() as root:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            file.write(contents)
        found = tidy_rules.violations(root)
    shown = f"{name}: {contents[:60]!r}"
    if expected is None:
        return f"{shown}: allowed, but {found[0][2]}" if found else None
    if len(found) != 1:
        return f"{shown}: {len(found)} violations instead of one: {found}"
    where, line, message = found[0]
    if where != name or line < 1 or expected not in message:
        return f"{shown}: '{message}' instead of '{expected}'"
    return None


def check_build_lists():
    """A listed file is built; one that is only mentioned in a comment is not."""
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "tests/room"))
        for name, text in [("a_test.cc", ""), ("b_test.cc", ""), ("extra_a_test.cc", ""),
                           ("CMakeLists.txt", "add_executable(t extra_a_test.cc b_test.cc)\n"
                                              "# a_test.cc\n")]:
            with open(os.path.join(root, "tests/room", name), "w", encoding="utf-8") as file:
                file.write(text)
        found = tidy_rules.violations(root)
    if [f[0] for f in found] != ["tests/room/a_test.cc"]:
        return f"build lists: {found}"
    return None


def self_test():
    problems = [check_case(*case) for case in CASES] + [check_build_lists()]
    problems = [problem for problem in problems if problem]
    for problem in problems:
        print(problem)
    print(f"{len(CASES) + 1} cases, {len(problems)} problems")
    return 1 if problems else 0


def main(argument):
    if argument == "--self-test":
        return self_test()
    tree = tidy_rules.Tree(argument)
    if len(tree.code()) < 50:
        print(f"{argument}: only {len(tree.code())} source files; is this the root of the tree?")
        return 1
    found = tidy_rules.violations(argument)
    for name, line, message in sorted(found):
        print(f"{name}:{line}: {message}")
    print(f"{len(tree.files)} files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
