#include "tools/examples.h"

#include <fmt/core.h>

#include "tools/command_tree.h"

namespace cairn {
namespace {

struct Row {
  const char *path, *what, *line;
};

constexpr Row kRows[] = {
    {"", "read a text", "cairn ingest --store texts --session book --model m.gguf book.txt"},
    {"", "ask", "cairn ask --store texts --session book \"Who built the ark?\""},
    {"ingest", "read a text with a landmark adapter",
     "cairn ingest --store texts --session book --model m.gguf --adapter a.gguf book.txt"},
    {"ingest", "append what another program prints",
     "bible -f Gen1 | cairn ingest --store texts --session book --model m.gguf -"},
    {"ask", "one question", "cairn ask --store texts --session book \"Who built the ark?\""},
    {"ask", "many, as JSON",
     "cairn ask --store texts --session book --questions questions.txt --json"},
    {"why", "the passages behind an answer, and a page with a map of them",
     "cairn why --store texts --session book --html why.html \"Who built the ark?\""},
    {"why", "what full attention would have read too",
     "cairn why --store texts --session book --against dense \"Who built the ark?\""},
    {"chat", "talk, and say /keep to remember it", "cairn chat --store texts --session book"},
    {"generate", "go on from a prompt",
     "cairn generate --model m.gguf --prompt \"In the beginning\""},
    {"generate", "go on behind a session's past, with some chance in it",
     "cairn generate --store texts --session book --prompt \"And then\" --temperature 0.8"},
    {"perplexity", "with full attention", "cairn perplexity --model m.gguf book.txt"},
    {"perplexity", "through retrieval",
     "cairn perplexity --model m.gguf --adapter a.gguf --attention retrieval book.txt"},
    {"sessions", "what there is", "cairn sessions list --store texts"},
    {"sessions list", "all sessions", "cairn sessions list --store texts"},
    {"sessions show", "one, with how it grew", "cairn sessions show book --store texts --history"},
    {"sessions fork", "share the past before token 9000",
     "cairn sessions fork book draft --at 9000 --store texts"},
    {"sessions rename", "another name", "cairn sessions rename draft final --store texts"},
    {"sessions delete", "free its space", "cairn sessions delete draft --store texts"},
    {"sessions export", "a session as one file",
     "cairn sessions export book book.cairn --store texts"},
    {"sessions import", "and back, under another name",
     "cairn sessions import book.cairn --as copy --store other"},
    {"inspect", "where the space went", "cairn inspect layout --store texts"},
    {"inspect blocks", "blocks with some tokens, each read and checked",
     "cairn inspect blocks --store texts --session book --range 0:1000 --check"},
    {"inspect block", "block 3 of layer 0, head 1, and its numbers as an array",
     "cairn inspect block --store texts --session book --npy block.npy 3/0/1"},
    {"inspect text", "what was read",
     "cairn inspect text --store texts --session book --range 0:500"},
    {"inspect layout", "files and whose space it is", "cairn inspect layout --store texts --files"},
    {"inspect diff", "where they part", "cairn inspect diff --store texts book draft"},
    {"verify", "read and check everything", "cairn verify --store texts"},
    {"repair", "what would be done", "cairn repair --store texts --dry-run"},
    {"repair", "compute what was lost again",
     "cairn repair --store texts --session book --model m.gguf"},
    {"backup", "a copy, also beside a writer", "cairn backup --store texts texts-copy"},
    {"compact", "free what nobody uses", "cairn compact --store texts"},
    {"upgrade", "after a new version", "cairn upgrade --store texts"},
    {"conform", "compare with known results", "cairn conform tests/data/golden.json"},
    {"serve", "look at it in the browser", "cairn serve --store texts"},
    {"serve", "answer other programs too, at a port and with a token of one's own",
     "CAIRN_ACCESS_TOKEN=0123456789abcdef cairn serve --store texts --port 8080 --model m.gguf"},
    {"doctor", "this machine, and the disk of a store", "cairn doctor --store texts"},
    {"doctor", "for a script", "cairn doctor --store texts --json"},
    {"completion", "in bash, now", "source <(cairn completion bash)"},
    {"completion", "in fish, from now on",
     "cairn completion fish >~/.config/fish/completions/cairn.fish"},
    {"completion bash", "in this shell", "source <(cairn completion bash)"},
    {"completion zsh", "in a directory of $fpath", "cairn completion zsh >~/.zfunc/_cairn"},
    {"completion fish", "from now on",
     "cairn completion fish >~/.config/fish/completions/cairn.fish"},
    {"man", "make the pages and read one", "cairn man ./man1 && man ./man1/cairn-ask.1"},
    {"eval", "pass keys", "cairn eval passkey --model m.gguf --adapter a.gguf --lengths 2k"},
    {"eval passkey", "of two lengths, with a picture",
     "cairn eval passkey --model m.gguf --lengths 2k,8k --text book.txt --heat-map map.svg"},
    {"eval facts", "with the places of the facts among the passages",
     "cairn eval facts --model m.gguf --lengths 4k --text book.txt --why --json"},
    {"bench", "the disk", "cairn bench storage --store empty-directory"},
    {"bench attention", "of a long session", "cairn bench attention --tokens 262144"},
    {"bench cache", "policies on a trace of your own",
     "cairn bench cache --trace run.trace --capacity 5,10"},
    {"bench compare", "two ladders", "cairn bench compare before.json after.json --limit 5"},
    {"bench decode", "with landmarks of a byte, in three minutes of reading at most",
     "cairn bench decode --index int8 --read-seconds 180"},
    {"bench decode", "behind ten million tokens that share payloads, without reading them",
     "cairn bench decode --tokens 10000000 --aliased 64 --mode landmark --index int8"},
    {"bench device", "a GPU, at ten million tokens",
     "cairn bench device --tokens 10000000 --kv-type q8"},
    {"bench ladder", "with a page of plots",
     "cairn bench ladder --store ladder --html ladder.html"},
    {"bench recall", "what stands for blocks best",
     "cairn bench recall --model m.gguf --tokens 8192 book.txt"},
    {"bench replay", "less and more memory",
     "cairn bench replay --trace run.trace --host-memory 128MiB,512MiB"},
    {"bench search", "two kinds of index", "cairn bench search --kinds exact,lists"},
    {"bench storage", "a store beside its disk", "cairn bench storage --store empty-directory"},
};

}  // namespace

std::vector<Example> ExamplesOf(const std::string& path) {
  std::vector<Example> examples;
  for (const Row& row : kRows) {
    if (row.path == path) examples.push_back({row.what, row.line});
  }
  return examples;
}

void AddExamples(CLI::App& app) {
  for (const auto& [path, command] : CommandsOf(app)) {
    const std::vector<Example> examples = ExamplesOf(path);
    if (examples.empty()) continue;
    std::string footer = "Examples:";
    for (const auto& [what, line] : examples) footer += fmt::format("\n  # {}\n  {}", what, line);
    command->footer(footer);
  }
}

}  // namespace cairn
