#include "tools/planted_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace cairn {
namespace {

/// The place in [low, high] nearest to `wanted` where a line of the filler begins; where none
/// does, a sentence; else `wanted` itself.
int64_t NearestBorder(const Filler& filler, int64_t wanted, int64_t low, int64_t high) {
  const int64_t reach = std::min(std::max(wanted - low, high - wanted), filler.size());
  for (const Border border : {Border::kLine, Border::kSentence}) {
    for (int64_t distance = 0; distance <= reach; ++distance) {
      for (const int64_t at : {wanted - distance, wanted + distance}) {
        if (at >= low && at <= high && filler.border(at) == border) return at;
      }
    }
  }
  return wanted;
}

// Sentences of one fact that must be looked up together stand at least this far apart.
constexpr double kApart = 0.1;

double DepthApartFrom(double depth, Draw* draw) {
  double other = draw->Unit();
  while (std::abs(other - depth) < kApart) other = draw->Unit();
  return other;
}

}  // namespace

/// One sentence to be planted: near `depth`, and if possible beginning within [low, high).
struct TextPlanter::Sentence {
  size_t planting = 0;
  size_t sentence = 0;
  double depth = 0, low = 0, high = 1;
  int64_t most_tokens = 0;
};

std::vector<uint32_t> TextPlanter::Line(const std::string& sentence, Border border) const {
  return tokenizer_.Encode((border == Border::kLine ? "" : "\n") + sentence + "\n");
}

std::vector<TextPlanter::Sentence> TextPlanter::Arrange(const std::vector<Planting>& plantings,
                                                        int64_t length, int64_t text) const {
  Draw draw(fmt::format("{}/places/{}/{}", plan_.seed, length, text));
  std::vector<Sentence> sentences;
  for (size_t i = 0; i < plantings.size(); ++i) {
    // A fact stands in the middle half of its share of the text: of a bin, or of a part of one.
    const int64_t shares = plan_.facts == 1 ? plan_.depths : plan_.facts;
    const int64_t share = plan_.facts == 1 ? plantings[i].bin : static_cast<int64_t>(i);
    const double depth =
        (static_cast<double>(share) + 0.25 + 0.5 * draw.Unit()) / static_cast<double>(shares);
    const std::vector<std::string>& lines = plantings[i].fact.sentences;
    for (size_t s = 0; s < lines.size(); ++s) {
      Sentence sentence{i, s, depth};
      if (s + 1 < lines.size()) {
        sentence.depth = DepthApartFrom(depth, &draw);
      } else {
        sentence.low = static_cast<double>(plantings[i].bin) / plan_.depths;
        sentence.high = static_cast<double>(plantings[i].bin + 1) / plan_.depths;
      }
      sentence.most_tokens = std::ssize(Line(lines[s], Border::kNone));
      sentences.push_back(sentence);
    }
  }
  std::ranges::stable_sort(sentences, {}, &Sentence::depth);
  return sentences;
}

Result<PlantedText> TextPlanter::Make(int64_t length, int64_t text) const {
  PlantedText made;
  for (PlantedFact& fact : DrawFacts(plan_.task, plan_.seed, length, text, plan_.facts)) {
    Planting& planting = made.plantings.emplace_back();
    planting.fact = std::move(fact);
    planting.bin = static_cast<int>(plan_.facts == 1 ? text % plan_.depths
                                                     : (std::ssize(made.plantings) - 1) *
                                                           plan_.depths / plan_.facts);
    planting.places.resize(planting.fact.sentences.size());
  }
  const std::vector<Sentence> sentences = Arrange(made.plantings, length, text);
  int64_t still_to_come = 0;
  for (const Sentence& sentence : sentences) still_to_come += sentence.most_tokens;

  const auto total = static_cast<double>(length);
  std::vector<uint32_t>& tokens = made.tokens;
  tokens.reserve(static_cast<size_t>(length));
  tokens = opening_;
  Draw draw(fmt::format("{}/passage/{}/{}", plan_.seed, length, text));
  int64_t next = filler_.Start(length - std::ssize(opening_), &draw);  // token of the filler
  const auto fill_to = [&](int64_t end) {
    while (next < end) tokens.push_back(filler_.token(next++));
  };
  for (const Sentence& sentence : sentences) {
    const int64_t here = std::ssize(tokens);
    const int64_t low = std::max(here, static_cast<int64_t>(std::ceil(sentence.low * total)));
    const int64_t high = std::min(length - still_to_come,
                                  static_cast<int64_t>(std::ceil(sentence.high * total)) - 1);
    if (low > high) {
      return Fail(Errc::kInvalidArgument,
                  "{} facts do not fit into a text of {} tokens at their depths; use fewer "
                  "--facts-per-text, or longer --lengths",
                  plan_.facts, length);
    }
    const int64_t wanted = std::clamp(static_cast<int64_t>(sentence.depth * total), low, high);
    fill_to(NearestBorder(filler_, next + wanted - here, next + low - here, next + high - here));
    Planting& planting = made.plantings[sentence.planting];
    Place& place = planting.places[sentence.sentence];
    place.first = std::ssize(tokens);
    const auto line = Line(planting.fact.sentences[sentence.sentence], filler_.border(next));
    tokens.insert(tokens.end(), line.begin(), line.end());
    place.end = std::ssize(tokens);
    planting.depth = static_cast<double>(planting.places.back().first) / total;
    still_to_come -= sentence.most_tokens;
  }
  fill_to(next + length - std::ssize(tokens));
  return made;
}

}  // namespace cairn
