#include "tools/passages.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <tuple>

namespace cairn {
namespace {

/// Of a word of the answer that is no number or name, and of one that repeats the question.
constexpr double kPlainWord = 0.25;
constexpr double kRepeatedWord = 0.05;

bool IsWordByte(char c) {
  return static_cast<unsigned char>(c) >= 0x80 || std::isalnum(static_cast<unsigned char>(c)) != 0;
}

struct Word {
  size_t begin = 0;
  size_t end = 0;
};

std::vector<Word> WordsOf(const std::string& text) {
  std::vector<Word> words;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!IsWordByte(text[i])) continue;
    const size_t begin = i;
    while (i < text.size() && IsWordByte(text[i])) ++i;
    words.push_back({begin, i});
  }
  return words;
}

std::string LowerCase(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// By layer, KV head and block.
using Place = std::tuple<int32_t, int32_t, int64_t>;

/// What heads give each block at rows in front of the answer, on average.
std::map<Place, double> Background(const StepLog& log, const SessionShape& shape,
                                   const AnswerPlace& answer) {
  std::map<Place, double> sums;
  std::set<int64_t> rows;
  for (const HeadLog& head : log.heads) {
    const auto token = PredictedBy(shape, answer.from_landmarks, head.row);
    if (!token.has_value() || *token >= answer.first_token) continue;
    rows.insert(head.row);
    for (const ReadBlock& read : log.Of(head)) {
      sums[{head.layer, head.head, read.block}] += read.top_share;
    }
  }
  for (auto& [place, sum] : sums) sum /= static_cast<double>(rows.size());
  return sums;
}

/// The part of a block's tokens that stands in front of the question: what was asked is no source.
double InFront(const SessionShape& shape, int64_t block, const AnswerPlace& answer) {
  const int64_t tokens = shape.block_tokens();
  const int64_t before = std::clamp<int64_t>(answer.first_asked - block * tokens, 0, tokens);
  return static_cast<double>(before) / static_cast<double>(tokens);
}

}  // namespace

int64_t TokenOfRow(const SessionShape& shape, int64_t row) {
  if (shape.mode != AttentionMode::kLandmark) return row;
  const int64_t rows = shape.block.block_rows;
  return row - row / rows - (row % rows == rows - 1 ? 1 : 0);
}

std::optional<int64_t> PredictedBy(const SessionShape& shape, bool from_landmarks, int64_t row) {
  if (shape.mode == AttentionMode::kLandmark) {
    const int64_t rows = shape.block.block_rows;
    const int64_t silent = from_landmarks ? rows - 2 : rows - 1;
    if (row % rows == silent) return std::nullopt;
  }
  return TokenOfRow(shape, row) + 1;
}

std::optional<int64_t> AnswerTokenOf(const SessionShape& shape, const AnswerPlace& answer,
                                     int64_t row) {
  const auto token = PredictedBy(shape, answer.from_landmarks, row);
  const int64_t end = answer.first_token + std::ssize(answer.weights);
  if (!token.has_value() || *token < answer.first_token || *token >= end) return std::nullopt;
  return *token - answer.first_token;
}

std::vector<double> TokenWeights(const std::vector<std::string>& texts,
                                 const std::string& question) {
  std::set<std::string> asked;
  for (const Word& word : WordsOf(question)) {
    asked.insert(LowerCase(question.substr(word.begin, word.end - word.begin)));
  }
  std::string answer;
  for (const std::string& text : texts) answer += text;
  const std::vector<Word> words = WordsOf(answer);
  std::vector<double> weights;
  size_t begin = 0;
  for (const std::string& text : texts) {
    const size_t end = begin + text.size();
    double weight = 0;
    for (const Word& word : words) {
      if (word.begin >= end || word.end <= begin) continue;
      const std::string spelt = answer.substr(word.begin, word.end - word.begin);
      const auto first = static_cast<unsigned char>(spelt.front());
      const bool tells = std::isdigit(first) != 0 || std::isupper(first) != 0;
      const bool repeats = asked.contains(LowerCase(spelt));
      weight = std::max(weight, repeats ? kRepeatedWord : tells ? 1.0 : kPlainWord);
    }
    weights.push_back(weight);
    begin = end;
  }
  // An answer of signs alone: all of them.
  if (std::ranges::all_of(weights, [](double w) { return w == 0; })) {
    std::ranges::fill(weights, 1.0);
  }
  return weights;
}

std::vector<Passage> RankPassages(const StepLog& log, const SessionShape& shape,
                                  const AnswerPlace& answer) {
  const std::map<Place, double> background = Background(log, shape, answer);
  std::map<int64_t, Passage> passages;                   // by block
  std::map<int64_t, double> peaks;                       // by block
  std::map<std::pair<int64_t, int64_t>, double> beyond;  // by token and block: the most of a head
  std::set<int64_t> rows;
  for (const HeadLog& head : log.heads) {
    const auto of_answer = AnswerTokenOf(shape, answer, head.row);
    if (!of_answer.has_value()) continue;
    const int64_t token = *of_answer;
    rows.insert(head.row);
    for (const ReadBlock& read : log.Of(head)) {
      Passage& passage = passages[read.block];
      passage.block = read.block;
      passage.attention += read.share;
      ++passage.times;
      const auto usual = background.find({head.layer, head.head, read.block});
      const double more = read.top_share - (usual == background.end() ? 0 : usual->second);
      double& most = beyond[{token, read.block}];
      most = std::max(most, more);
      double& peak = peaks[read.block];
      if (more * answer.weights[token] <= peak) continue;
      peak = more * answer.weights[token];
      passage.top_share = read.top_share;
      passage.token = token;
      passage.layer = head.layer;
      passage.head = head.head;
    }
  }
  double sum = 0;
  for (const auto& [place, more] : beyond) {
    const double score = more * answer.weights[place.first] * InFront(shape, place.second, answer);
    passages[place.second].share += score;
    sum += score;
  }
  std::vector<Passage> ranked;
  const double heads = static_cast<double>(rows.size()) * shape.partitions();
  for (auto& [block, passage] : passages) {
    if (sum > 0) passage.share /= sum;
    passage.attention /= heads;
    ranked.push_back(passage);
  }
  std::ranges::sort(ranked, [](const Passage& a, const Passage& b) {
    return a.share != b.share ? a.share > b.share : a.block < b.block;
  });
  return ranked;
}

}  // namespace cairn
