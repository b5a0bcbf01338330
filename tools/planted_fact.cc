#include "tools/planted_fact.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/check.h"
#include "tools/draw.h"

namespace cairn {
namespace {

using Words = std::vector<std::string>;

const Words kThings{"locker", "vault",  "garage",  "office", "laptop",  "phone",     "safe",
                    "cabin",  "boat",   "gate",    "tower",  "archive", "studio",    "warehouse",
                    "cellar", "museum", "station", "harbor", "library", "greenhouse"};
const Words kNames{"Alice", "Bob",    "Carol",   "David", "Emma", "Frank", "Grace",
                   "Henry", "Irene",  "Jack",    "Karen", "Leo",  "Maria", "Nina",
                   "Oscar", "Paula",  "Quentin", "Rosa",  "Sam",  "Tina",  "Victor",
                   "Wendy", "Xavier", "Yara",    "Zoe"};
const Words kCities{"Paris",  "London", "Tokyo",  "Cairo",   "Lima",    "Oslo",   "Rome",
                    "Delhi",  "Madrid", "Berlin", "Sydney",  "Toronto", "Vienna", "Dublin",
                    "Lisbon", "Athens", "Prague", "Nairobi", "Seoul",   "Havana"};
const Words kColors{"red",   "blue",  "green",  "yellow", "purple", "orange",
                    "black", "white", "silver", "golden", "pink",   "brown"};
constexpr std::array<std::string_view, 6> kKinds{"code",  "phone", "city",
                                                 "color", "coins", "chain"};
constexpr int kKeyDigits = 5;

/// Words dealt in random order, none twice; a deck that is empty begins anew.
class Deck {
 public:
  Deck(const Words& words, Draw* draw) : words_(words), draw_(draw) {}
  const std::string& Deal() {
    if (next_ % words_.size() == 0) draw_->Shuffle(&words_);
    return words_[next_++ % words_.size()];
  }

 private:
  Words words_;
  Draw* draw_;
  size_t next_ = 0;
};

/// Numbers of some digits, none twice.
class Numbers {
 public:
  explicit Numbers(Draw* draw) : draw_(draw) {}
  std::string Deal(int64_t digits) {
    std::string number = draw_->Digits(digits);
    while (std::ranges::find(dealt_, number) != dealt_.end()) number = draw_->Digits(digits);
    return dealt_.emplace_back(std::move(number));
  }

 private:
  Draw* draw_;
  Words dealt_;
};

PlantedFact PassKey(const std::string& value) {
  return {"passkey",
          {fmt::format("The pass key is {0}. Remember it. {0} is the pass key.", value)},
          "What is the pass key?",
          value};
}

PlantedFact PassKeyOf(const std::string& thing, const std::string& value) {
  return {
      "passkey",
      {fmt::format("The pass key of the {0} is {1}. Remember it. {1} is the pass key of the {0}.",
                   thing, value)},
      fmt::format("What is the pass key of the {}?", thing),
      value};
}

/// The next kind of a length's texts: every six in a row are all six, in random order.
std::string_view KindOf(uint64_t seed, int64_t length, int64_t number) {
  std::vector<std::string_view> kinds(kKinds.begin(), kKinds.end());
  const int64_t round = number / std::ssize(kinds);
  Draw(fmt::format("{}/{}/kinds/{}", seed, length, round)).Shuffle(&kinds);
  return kinds[static_cast<size_t>(number % std::ssize(kinds))];
}

struct Decks {
  explicit Decks(Draw* draw)
      : things(kThings, draw),
        names(kNames, draw),
        cities(kCities, draw),
        colors(kColors, draw),
        numbers(draw) {}
  Deck things, names, cities, colors;
  Numbers numbers;
};

PlantedFact MakeFact(std::string_view kind, Decks* decks, Draw* draw) {
  const auto thing = [&] { return decks->things.Deal(); };
  const auto name = [&] { return decks->names.Deal(); };
  const auto number = [&] { return decks->numbers.Deal(4 + draw->Below(3)); };
  PlantedFact fact;
  fact.kind = kind;
  if (kind == "code") {
    const std::string of = thing();
    fact.value = number();
    fact.sentences = {fmt::format("The code of the {} is {}.", of, fact.value)};
    fact.question = fmt::format("What is the code of the {}?", of);
  } else if (kind == "phone") {
    const std::string whose = name();
    fact.value = number();
    fact.sentences = {fmt::format("The phone number of {} is {}.", whose, fact.value)};
    fact.question = fmt::format("What is the phone number of {}?", whose);
  } else if (kind == "city") {
    const std::string who = name();
    fact.value = decks->cities.Deal();
    fact.sentences = {fmt::format("{} lives in {}.", who, fact.value)};
    fact.question = fmt::format("Where does {} live?", who);
  } else if (kind == "color") {
    const std::string what = thing(), whose = name();
    fact.value = decks->colors.Deal();
    fact.sentences = {fmt::format("The {} of {} is {}.", what, whose, fact.value)};
    fact.question = fmt::format("What color is the {} of {}?", what, whose);
  } else if (kind == "coins") {
    const std::string who = name(), where = thing();
    fact.value = number();
    fact.sentences = {fmt::format("{} keeps {} coins in the {}.", who, fact.value, where)};
    fact.question = fmt::format("How many coins does {} keep in the {}?", who, where);
  } else {
    const std::string who = name(), where = thing();
    fact.value = number();
    fact.sentences = {fmt::format("{} has the key to the {}.", who, where),
                      fmt::format("The door code of the {} is {}.", where, fact.value)};
    fact.question =
        fmt::format("{} has a key to a place. What is the door code of that place?", who);
  }
  return fact;
}

bool IsWordByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Maximal runs of bytes for which `belongs` holds.
template <class Belongs>
Words RunsOf(std::string_view text, const Belongs& belongs) {
  Words runs;
  bool open = false;
  for (const char c : text) {
    if (!belongs(c)) {
      open = false;
      continue;
    }
    if (!open) runs.emplace_back();
    runs.back() += c;
    open = true;
  }
  return runs;
}

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string_view EvalTaskName(EvalTask task) {
  return task == EvalTask::kPasskey ? "passkey" : "facts";
}

int MostFacts(EvalTask task) {
  return static_cast<int>(task == EvalTask::kPasskey ? kThings.size() : kNames.size());
}

std::vector<PlantedFact> DrawFacts(EvalTask task, uint64_t seed, int64_t length, int64_t text,
                                   int count) {
  CAIRN_CHECK(count >= 1 && count <= MostFacts(task));
  Draw draw(fmt::format("{}/{}/{}/{}", seed, EvalTaskName(task), length, text));
  Decks decks(&draw);
  std::vector<PlantedFact> facts;
  for (int i = 0; i < count; ++i) {
    if (task == EvalTask::kFacts) {
      facts.push_back(MakeFact(KindOf(seed, length, text * count + i), &decks, &draw));
    } else if (count == 1) {
      facts.push_back(PassKey(decks.numbers.Deal(kKeyDigits)));
    } else {
      const std::string thing = decks.things.Deal();
      facts.push_back(PassKeyOf(thing, decks.numbers.Deal(kKeyDigits)));
    }
  }
  return facts;
}

Verdict Judge(const PlantedFact& fact, std::string_view answer) {
  Verdict verdict;
  if (fact.kind != "city" && fact.kind != "color") {
    const Words numbers = RunsOf(answer, IsDigit);
    verdict.right = numbers == Words{fact.value};
    verdict.contains = answer.find(fact.value) != std::string_view::npos;
    return verdict;
  }
  const Words words = RunsOf(answer, IsWordByte);
  const auto occurs = [&](const std::string& value) {
    return std::ranges::any_of(words,
                               [&](const std::string& w) { return Lower(w) == Lower(value); });
  };
  verdict.contains = occurs(fact.value);
  verdict.right = verdict.contains;
  for (const std::string& other : fact.kind == "city" ? kCities : kColors) {
    if (other != fact.value && occurs(other)) verdict.right = false;
  }
  return verdict;
}

}  // namespace cairn
