#include "tools/chat_request.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/json_depth.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr size_t kMostStops = 16, kLongestStop = 256, kMostTurns = 1024;
constexpr double kMostTemperature = 100;

/// Reads field after field; the first fault counts.
class FieldReader {
 public:
  FieldReader(const json& document, ChatFault* fault) : document_(document), fault_(fault) {}

  bool good() const { return good_; }
  void Refuse(const std::string& param, const std::string& message) {
    if (good_) *fault_ = {param, message};
    good_ = false;
  }

  /// Null if it is not there, or null.
  const json* Find(const char* name) const {
    const auto found = document_.find(name);
    return found == document_.end() || found->is_null() ? nullptr : &*found;
  }

  bool Flag(const char* name) {
    const json* value = Find(name);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    Refuse(name, "is true or false");
    return false;
  }
  int64_t Whole(const char* name, int64_t otherwise, int64_t least, int64_t most) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    const bool small = !value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX;
    if (value->is_number_integer() && small) {
      const auto number = value->get<int64_t>();
      if (number >= least && number <= most) return number;
    }
    Refuse(name, fmt::format("is a whole number from {} to {}", least, most));
    return otherwise;
  }
  double Number(const char* name, double otherwise, double most) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    const double number = value->is_number() ? value->get<double>() : -1;
    if (number >= 0 && number <= most) return number;
    Refuse(name, fmt::format("is a number from 0 to {}", most));
    return otherwise;
  }
  /// Takes one value, which changes nothing, and refuses the others.
  void Only(const char* name, const json& one) {
    const json* value = Find(name);
    if (value != nullptr && *value != one) Refuse(name, "is not supported here; leave it out");
  }
  void None(const char* name) {
    const json* value = Find(name);
    if (value != nullptr && !value->empty()) Refuse(name, "is not supported here; leave it out");
  }

 private:
  const json& document_;
  ChatFault* fault_;
  bool good_ = true;
};

/// The text of a message's content: a string, or parts that are texts.
bool TextOf(const json& content, std::string* text) {
  if (content.is_string()) {
    *text = content.get<std::string>();
    return true;
  }
  if (!content.is_array()) return false;
  for (const json& part : content) {
    if (!part.is_object() || part.value("type", json()) != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      return false;
    }
    *text += part["text"].get<std::string>();
  }
  return true;
}

/// What a system says belongs to what the user says next.
void ReadMessages(FieldReader& reader, std::vector<Turn>* turns) {
  const json* messages = reader.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty() ||
      messages->size() > kMostTurns) {
    return reader.Refuse("messages", fmt::format("is a list of 1 to {} messages", kMostTurns));
  }
  std::string system;
  for (size_t i = 0; i < messages->size(); ++i) {
    const json& message = (*messages)[i];
    const std::string param = fmt::format("messages[{}]", i);
    std::string text;
    if (!message.is_object() || !message.contains("content") ||
        !TextOf(message["content"], &text)) {
      return reader.Refuse(param, "has a role, and a content of text");
    }
    const json role = message.value("role", json());
    if (role == "system" || role == "developer") {
      system += (system.empty() ? "" : "\n\n") + text;
    } else if (role == "user") {
      turns->push_back({.by_model = false, .text = std::move(text), .system = std::move(system)});
      system.clear();
    } else if (role == "assistant") {
      turns->push_back({.by_model = true, .text = std::move(text)});
    } else {
      return reader.Refuse(param, "has the role system, developer, user or assistant");
    }
  }
  if (turns->empty() || turns->back().by_model || !system.empty()) {
    reader.Refuse("messages", "ends with what a user says");
  }
}

void ReadStop(FieldReader& reader, std::vector<std::string>* stop) {
  const json* value = reader.Find("stop");
  if (value == nullptr) return;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& word : list) {
    if (!word.is_string() || word.get_ref<const std::string&>().size() > kLongestStop ||
        stop->size() == kMostStops) {
      return reader.Refuse("stop", fmt::format("is a text, or a list of up to {}, of {} bytes each",
                                               kMostStops, kLongestStop));
    }
    stop->push_back(word.get<std::string>());
  }
}

void ReadMaxTokens(FieldReader& reader, const ChatLimits& limits, AnswerOrder* order) {
  const char* given = nullptr;
  order->max_tokens = limits.default_tokens;
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (reader.Find(name) != nullptr) given = name;
    order->max_tokens = reader.Whole(name, order->max_tokens, 1, limits.most_tokens);
  }
  if (!order->why || order->max_tokens <= limits.most_why_tokens) return;
  order->max_tokens = limits.most_why_tokens;
  if (given == nullptr) return;
  reader.Refuse(given, fmt::format("is at most {} with 'why', which keeps what each token was read "
                                   "from",
                                   limits.most_why_tokens));
}

void RefuseOthers(FieldReader& reader) {
  for (const char* name : {"n", "top_p"}) reader.Only(name, 1);
  for (const char* name : {"frequency_penalty", "presence_penalty"}) reader.Only(name, 0);
  reader.Only("logprobs", false);
  reader.Only("response_format", {{"type", "text"}});
  for (const char* name : {"tools", "functions", "logit_bias", "audio", "top_logprobs"}) {
    reader.None(name);
  }
}

}  // namespace

bool ReadChatRequest(std::string_view body, const ChatLimits& limits, ChatRequest* request,
                     ChatFault* fault) {
  if (!JsonIsShallow(body)) {
    *fault = {"", fmt::format("the body nests deeper than {} lists and objects", kMostJsonDepth)};
    return false;
  }
  const json document = json::parse(body, nullptr, false);
  if (!document.is_object()) {
    *fault = {"", "the body is no JSON object"};
    return false;
  }
  FieldReader reader(document, fault);
  AnswerOrder& order = request->order;
  const json* model = reader.Find("model");
  if (model == nullptr || !model->is_string()) {
    reader.Refuse("model", "is the name of a session");
  } else {
    order.session = model->get<std::string>();
  }
  ReadMessages(reader, &order.turns);
  ReadStop(reader, &order.stop);
  if (const json* own = reader.Find("cairn"); own != nullptr && own->is_object()) {
    order.why = own->value("why", json(false)) == true;
  }
  ReadMaxTokens(reader, limits, &order);
  order.temperature = static_cast<float>(reader.Number("temperature", 0, kMostTemperature));
  order.seed = static_cast<uint64_t>(reader.Whole("seed", 0, INT64_MIN, INT64_MAX));
  request->draws_seed = order.temperature > 0 && reader.Find("seed") == nullptr;
  request->stream = reader.Flag("stream");
  if (const json* options = reader.Find("stream_options"); options != nullptr) {
    if (options->is_object()) {
      request->usage_in_stream = options->value("include_usage", json(false)) == true;
    } else {
      reader.Refuse("stream_options", "is an object");
    }
  }
  RefuseOthers(reader);
  return reader.good();
}

}  // namespace cairn
