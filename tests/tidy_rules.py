"""The house rules of docs/style.md that a machine can check.

Every rule is a function of a Tree that yields (file, line, message). tidy_test.py runs them.
"""
import os
import re
import subprocess

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
MAX_COLUMNS = 100
MAX_FILE_BYTES = 256 * 1024

RANK = {"base": 0, "kernels": 1, "index": 1, "storage": 1, "engine": 2, "model": 3, "bench": 4,
        "tools": 5, "capi": 6}
MAY_SEE_ALL_BELOW = {"tests": True, "examples": False}  # value: tools and capi too

# Header prefix (regular expression) -> the adapter files that may include it.
FOREIGN = [
    (r"faiss/", r"((index/faiss_cpu_index|index/faiss_gpu|bench/flat_faiss)\.cc|"
                r"tests/support/faiss_on_cpu/not_searched\.(h|cc))$"),
    (r"rocksdb/", r"(storage/rocks_\w+|bench/rocks_peer|tests/support/power_cut_\w+)\.(h|cc)$"),
    (r"httplib\.h", r"tools/http_\w+\.(h|cc)$"),
    (r"prometheus/", r"tools/metrics_server\.cc$"),
    (r"(oneapi/dnnl/|oneapi/dnnl\.|dnnl)", r"base/matmul\.cc$"),
    (r"(oneapi/tbb|tbb/)", r"base/parallel\.cc$"),
    (r"(cuda|cublas|cub/|thrust/|cooperative_groups)",
     r"(base/device_cuda\.cc|base/cublas_lt\.h|index/(faiss_gpu|cublas_at_run_time)\.cc|"
     r"kernels/cuda/\w+\.(cu|cuh)|tests/support/gpu/cuda_\w+\.cc)$"),
]
LARGE_DATA = r"(tests/data/[\w.-]+\.jsonl|model/adapters/[\w.-]+\.gguf)$"
# Adapters, and memory that fails as operator new does.
THROWERS = r"(index/faiss_cpu_index\.cc|storage/rocks_\w+\.cc|base/page_buffer\.cc)$"
SHARED_OWNERS = r"(storage/rocks_\w+|tests/support/power_cut_\w+|tools/metrics_server)\.(h|cc)$"
CODE = (".h", ".c", ".cc", ".cu", ".cuh")
NARROW = CODE + (".cmake", "CMakeLists.txt", ".py", ".sh")
WIDE = "tools/reference/"  # generators of test data: tables, kept as they were run
SKIPPED_FOLDERS = re.compile(r"(\.git|\.cache|__pycache__|build[\w-]*)$")


class Tree:
    """The files of a checkout: those git tracks or would, or all if it is no checkout."""

    def __init__(self, root):
        self.root = root
        self._texts = {}
        self.files = sorted(self._list())

    def _list(self):
        git = subprocess.run(
            ["git", "-C", self.root, "ls-files", "-z", "-c", "-o", "--exclude-standard"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        top = os.path.exists(os.path.join(self.root, ".git"))
        if git.returncode == 0 and top:
            names = [n for n in git.stdout.decode().split("\0") if n]
            return {n for n in names if os.path.isfile(os.path.join(self.root, n))}
        found = set()
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if not SKIPPED_FOLDERS.match(f)]
            found |= {os.path.relpath(os.path.join(folder, n), self.root) for n in names}
        return found

    def size(self, name):
        return os.path.getsize(os.path.join(self.root, name))

    def text(self, name):
        """Contents, or "" for files that are no text."""
        if name not in self._texts:
            with open(os.path.join(self.root, name), "rb") as file:
                data = file.read()
            self._texts[name] = "" if b"\0" in data[:8192] else data.decode("utf-8", "replace")
        return self._texts[name]

    def code(self):
        return [n for n in self.files if n.endswith(CODE)]


TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.S)


def strip(text):
    """C++ without comments, and with empty strings; line numbers stay."""
    def blank(match):
        found = match.group(0)
        lines = "\n" * found.count("\n")
        if found.startswith(("//", "/*")):
            return " " + lines
        return ('""' if found[0] in 'R"' else "' '") + lines
    return TOKENS.sub(blank, text)


def without_directives(code):
    """Stripped code without preprocessor lines."""
    blank = lambda match: "\n" * match.group(0).count("\n")
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, code, flags=re.M)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(tree, name):
    for number, line in enumerate(tree.text(name).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


def check_include_table(tree):
    for name in tree.code():
        room = name.split("/")[0]
        for number, target, quoted in includes(tree, name):
            other = target.split("/")[0]
            if other not in RANK and other not in MAY_SEE_ALL_BELOW:
                if quoted and room in RANK and "/" not in target:
                    yield name, number, f'include "{target}" by its path from the root'
                continue
            if room == other:
                continue
            if room in MAY_SEE_ALL_BELOW:
                allowed = other in RANK and (RANK[other] < RANK["tools"] or MAY_SEE_ALL_BELOW[room])
            else:
                allowed = room in RANK and other in RANK and RANK[other] < RANK[room]
            if not allowed:
                yield name, number, f"{room or name} must not include {other} ({target})"


def check_foreign_headers(tree):
    for name in tree.code():
        for number, target, _ in includes(tree, name):
            for prefix, adapters in FOREIGN:
                if re.match(prefix, target) and not re.match(adapters, name):
                    yield name, number, f"<{target}> belongs into its adapter file ({adapters})"


def check_lengths(tree):
    for name in tree.files:
        if not name.endswith(NARROW) or name.startswith(WIDE):
            continue
        lines = tree.text(name).rstrip("\n").split("\n")
        if len(lines) > MAX_FILE_LINES:
            yield name, len(lines), f"{len(lines)} lines; the limit is {MAX_FILE_LINES}"
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                yield name, number, f"{len(line)} columns; the limit is {MAX_COLUMNS}"


def functions(code):
    """(first line, last line) of every function body, lambdas inside it included."""
    code = without_directives(code)
    stack, head, depth_in_function, start = [], "", 0, 0
    for match in re.finditer(r"[{};]|[^{};]+", code):
        piece = match.group(0)
        if depth_in_function:
            depth_in_function += {"{": 1, "}": -1}.get(piece, 0)
            if depth_in_function == 0:
                yield line_of(code, start), line_of(code, match.start())
                more = code[match.end():match.end() + 200].lstrip()
                head = head if more[:1] in (",", "{") else ""  # member initialisers
        elif piece == "{":
            if "(" in head:
                depth_in_function, start = 1, match.start()
            else:
                stack.append(piece)
                head = ""
        elif piece in "};":
            if piece == "}" and stack:
                stack.pop()
            head = ""
        else:
            head += piece


def check_function_lengths(tree):
    for name in tree.code():
        for first, last in functions(strip(tree.text(name))):
            if last - first + 1 > MAX_FUNCTION_LINES:
                yield name, first, (f"a function of {last - first + 1} lines; "
                                    f"the limit is {MAX_FUNCTION_LINES}")


def check_bans(tree):
    for name in tree.code():
        code = without_directives(strip(tree.text(name)))
        bans = [(r"\bshared_ptr\b|\bmake_shared\b", "shared_ptr: owners are values or unique_ptr",
                 SHARED_OWNERS),
                (r"\bthrow\b", "throw: errors are Result<T> outside adapters", THROWERS)]
        if name.endswith((".h", ".cuh")):
            bans.append((r"\busing\s+namespace\b", "using namespace in a header", "$"))
        for pattern, message, allowed in bans:
            for match in re.finditer(pattern, code):
                if not re.match(allowed, name):
                    yield name, line_of(code, match.start()), message
        yield from check_new_and_delete(name, code)


def check_new_and_delete(name, code):
    code = re.sub(r"\boperator (new|delete)\b", "operator", code)  # a program's own ones
    for match in re.finditer(r"\bnew\b", code):
        if not re.search(r"unique_ptr<[\w:]+>\s*\w*\s*\(\s*$", code[:match.start()][-200:]):
            yield name, line_of(code, match.start()), "naked new: use make_unique"
    for match in re.finditer(r"\bdelete\b", code):
        if not re.search(r"=\s*$", code[:match.start()][-20:]):
            yield name, line_of(code, match.start()), "naked delete"


def check_tests_are_alive(tree):
    dead = re.compile(r"\s*(//|/\*|\*)\s*(TEST|TEST_F|TEST_P|TYPED_TEST)\(")
    for name in tree.code():
        for number, line in enumerate(tree.text(name).split("\n"), 1):
            if dead.match(line):
                yield name, number, "a test that is commented out"
            if name.startswith("tests/") and re.search(r"\bDISABLED_\w", line):
                yield name, number, "a disabled test"


def check_sources_are_built(tree):
    for name in tree.files:
        folder, base = os.path.split(name)
        if not name.endswith((".c", ".cc", ".cu")):
            continue
        lists = "".join(tree.text(f"{folder}/{list}") for list in ("CMakeLists.txt", "Makefile")
                        if f"{folder}/{list}" in tree.files)
        lists = re.sub(r"#[^\n]*", "", lists)
        if not re.search(r"(?<![\w./-])" + re.escape(base) + r"(?![\w.])", lists):
            yield name, 1, f"no target in {folder}/CMakeLists.txt lists it"


def check_file_sizes(tree):
    for name in tree.files:
        if tree.size(name) > MAX_FILE_BYTES and not re.match(LARGE_DATA, name):
            yield name, 1, (f"{tree.size(name)} bytes; the limit is {MAX_FILE_BYTES} for all but "
                            f"named data ({LARGE_DATA})")


MACHINE_PATH = re.compile(r"(?<![\w.$}-])/(?:home|root|Users|work|mnt)/[\w.]|\b[A-Z]:\\Users")
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")


def check_words(tree):
    for name in tree.files:
        if name.startswith("tests/data/"):
            continue
        for number, line in enumerate(tree.text(name).split("\n"), 1):
            if MACHINE_PATH.search(line):
                yield name, number, "a path of one machine"
            if UNFINISHED.search(line) and name.endswith(NARROW):
                yield name, number, "unfinished work belongs into an issue"


RULES = [check_include_table, check_foreign_headers, check_lengths, check_function_lengths,
         check_bans, check_tests_are_alive, check_sources_are_built, check_file_sizes, check_words]


def violations(root):
    tree = Tree(root)
    return [violation for rule in RULES for violation in rule(tree)]
