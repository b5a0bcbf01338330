#include "tools/why_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/plain_text.h"
#include "tools/html_page.h"

namespace cairn {
namespace {

using Cells = std::map<std::pair<int64_t, int32_t>, double>;  // by block and layer

TextHeat::Series SeriesOf(std::string label, const Cells& cells) {
  TextHeat::Series series{.label = std::move(label), .cells = {}};
  for (const auto& [place, value] : cells) {
    if (value > 0) series.cells.push_back({place.first, place.second, value});
  }
  return series;
}

void Raise(Cells* cells, int64_t block, int32_t layer, double value) {
  double& most = (*cells)[{block, layer}];
  most = std::max(most, value);
}

/// A token's text on its button: something to be seen also if it is a space.
std::string Label(const std::string& text) {
  if (text.find_first_not_of(" \n") != std::string::npos) return ForTerminal(text);
  std::string label;
  for (const char c : text) label += c == ' ' ? "␣" : "⏎";
  return label;
}

/// In each layer the largest share that a head gave a block: for all tokens of the answer, and for
/// each.
TextHeat HeatOf(const AnswerSources& sources, const SessionText& text) {
  TextHeat heat{.blocks = (text.size() + text.block_tokens() - 1) / text.block_tokens(),
                .layers = sources.shape.layers,
                .what = "of a head's attention",
                .percent = true,
                .scale = "the more of its attention some head gave it",
                .series = {},
                .passages = {}};
  Cells all;
  std::vector<Cells> tokens(sources.texts.size());
  for (const HeadLog& head : sources.log.heads) {
    const auto token = AnswerTokenOf(sources.shape, sources.place, head.row);
    if (!token.has_value()) continue;
    for (const ReadBlock& read : sources.log.Of(head)) {
      Raise(&tokens[static_cast<size_t>(*token)], read.block, head.layer, read.top_share);
      Raise(&all, read.block, head.layer,
            read.top_share * sources.place.weights[static_cast<size_t>(*token)]);
      TextHeat::Passage& passage = heat.passages[read.block];
      if (!passage.text.empty()) continue;
      passage = {text.Begin(read.block), text.End(read.block) - 1, text.BlockText(read.block)};
    }
  }
  heat.series.push_back(SeriesOf("what tells", all));
  for (size_t i = 0; i < tokens.size(); ++i) {
    heat.series.push_back(SeriesOf(Label(sources.texts[i]), tokens[i]));
  }
  return heat;
}

/// Without the blanks that a block may begin or end with.
std::string_view WithoutEdges(std::string_view text) {
  const size_t first = text.find_first_not_of(" \n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

}  // namespace

std::string WhyPage(const std::string& session, const AnswerSources& sources,
                    const SessionText& text, size_t count) {
  std::string body = fmt::format(
      "<h1>{}</h1>\n<p class=\"answer\">{}</p>\n<p class=\"note\">Asked of session {}, {} "
      "tokens.</p>\n<section aria-label=\"Passages\">\n<h2>What it was read from</h2>\n<ol>\n",
      ForHtml(sources.question), ForHtml(sources.answer.text), ForHtml(session),
      sources.answer.first_token - sources.answer.question_tokens);
  for (size_t i = 0; i < std::min(count, sources.passages.size()); ++i) {
    const Passage& passage = sources.passages[i];
    body += fmt::format(
        "<li><div class=\"passage\"><b>{:.0f} %: block {}, tokens {} to {}, most for “{}” in layer "
        "{}, head {} <button type=\"button\" data-block=\"{}\" data-layer=\"{}\">on the "
        "map</button></b>{}</div></li>\n",
        100 * passage.share, passage.block, text.Begin(passage.block), text.End(passage.block) - 1,
        ForHtml(sources.texts[static_cast<size_t>(passage.token)]), passage.layer, passage.head,
        passage.block, passage.layer, ForHtml(WithoutEdges(text.BlockText(passage.block))));
  }
  body += "</ol>\n</section>\n" + HeatSection(HeatOf(sources, text));
  return HtmlPage("Why: " + sources.question, body);
}

}  // namespace cairn
