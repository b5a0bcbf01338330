#include "tools/serve_api.h"

#include <charconv>
#include <optional>

#include "tools/chat_api.h"
#include "tools/html_assets.h"
#include "tools/http_fetch.h"
#include "tools/ladder_page.h"
#include "tools/serve_parts.h"
#include "tools/text_file.h"
#include "tools/version.h"

namespace cairn {
namespace {

using nlohmann::json;

struct Asset {
  const char* path;
  const char* type;
  std::string_view text;
};

const Asset* AssetAt(const std::string& path) {
  static const Asset kAssets[] = {
      {"/", "text/html; charset=utf-8", kServePage},
      {"/page.css", "text/css; charset=utf-8", kPageStyle},
      {"/serve.css", "text/css; charset=utf-8", kServeStyle},
      {"/text_heat.js", "text/javascript; charset=utf-8", kTextHeatScript},
      {"/parts.js", "text/javascript; charset=utf-8", kServePartsScript},
      {"/views.js", "text/javascript; charset=utf-8", kServeViewsScript},
      {"/ladder_page.css", "text/css; charset=utf-8", LadderPageStyle()},
      {"/ladder_page.js", "text/javascript; charset=utf-8", LadderPageScript()},
      {"/serve.js", "text/javascript; charset=utf-8", kServeScript}};
  for (const Asset& asset : kAssets) {
    if (path == asset.path) return &asset;
  }
  return nullptr;
}

int StatusOf(Errc code) {
  switch (code) {
    case Errc::kInvalidArgument:
      return 400;
    case Errc::kNotFound:
      return 404;
    case Errc::kExists:
    case Errc::kMismatch:
    case Errc::kUnsupported:
      return 422;
    case Errc::kBusy:
    case Errc::kResource:
    case Errc::kInterrupted:
      return 503;
    case Errc::kCorruption:
    case Errc::kIo:
    case Errc::kOutOfSpace:
      break;
  }
  return 500;
}

/// A whole number of the query, or `otherwise` if it is not there.
Result<int64_t> NumberOf(const HttpRequest& request, const std::string& name, int64_t otherwise) {
  const std::string text = request.Query(name);
  if (text.empty()) return otherwise;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  return Fail(Errc::kInvalidArgument, "{} is no whole number", name);
}

/// The place in a list of `size` things that the query names as `name`.
Result<size_t> PlaceOf(const HttpRequest& request, const std::string& name, size_t size) {
  CAIRN_TRY(const int64_t place, NumberOf(request, name, 0));
  if (place >= 0 && static_cast<size_t>(place) < size) return static_cast<size_t>(place);
  return Fail(Errc::kNotFound, "there is no {} {}; there are {}", name, place, size);
}

/// The text of the file that the query names as `n`.
HttpReply FileOf(const HttpRequest& request, const ServedFiles::List& files, const char* type) {
  const auto place = PlaceOf(request, "n", files.size());
  if (!place) return ErrorReply(place.error());
  return {.status = 200, .type = type, .body = files[place.value()].second};
}

HttpReply ReplyOf(Result<json> document) {
  return document ? JsonReply(document.value()) : ErrorReply(document.error());
}

}  // namespace

Result<std::string> ReadWhy(const std::string& path) {
  CAIRN_TRY(std::string text, ReadText(path));
  const json document = json::parse(text, nullptr, false);
  const bool good = document.is_object() && document.contains("question") &&
                    document.contains("answer") && document.contains("passages") &&
                    document.contains("answer_tokens");
  if (good) return text;
  return Fail(Errc::kInvalidArgument, "{} is no document that `cairn why --json` has written",
              path);
}

HttpReply JsonReply(const json& document, int status) {
  return {.status = status,
          .body = document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

HttpReply ErrorReply(const Error& error) {
  const int status = StatusOf(error.code);
  return JsonReply({{"error",
                     {{"message", error.message},
                      {"type", status < 500 ? "invalid_request_error" : "server_error"},
                      {"param", nullptr},
                      {"code", ErrcName(error.code)}}}},
                   status);
}

HttpReply ServeApi::Answer(const HttpRequest& request) {
  if (const Asset* asset = AssetAt(request.path); asset != nullptr && !request.post) {
    return {.status = 200, .type = asset->type, .body = std::string(asset->text)};
  }
  return Document(request);
}

HttpReply ServeApi::Document(const HttpRequest& request) {
  const std::string& path = request.path;
  if (path == "/api/about") return JsonReply(About());
  if (path == "/api/sessions") return ReplyOf(store_.Sessions());
  if (path == "/api/session") return ReplyOf(store_.Session(request.Query("name")));
  if (path == "/api/text") return Text(request);
  if (path == "/api/fetches") return Fetches(request);
  if (path == "/api/verify") return Verify(request);
  if (path == "/api/metrics") return Metrics(request);
  if (path == "/api/recorded") return Recorded(request);
  if (path == "/api/question") return FileOf(request, files_.questions, "application/json");
  if (path == "/api/ladder") return FileOf(request, files_.ladders, "application/json");
  if (path == "/ladder") return FileOf(request, files_.ladder_pages, "text/html; charset=utf-8");
  return ErrorReply(Fail(Errc::kNotFound, "there is no such page"));
}

json ServeApi::About() const {
  json about{{"store", name_},
             {"version", VersionText()},
             {"answers", chat_ != nullptr},
             {"recorded", json::array()},
             {"metrics_ports", files_.metrics_ports},
             {"traces", json::array()},
             {"questions", json::array()},
             {"ladders", json::array()}};
  for (const NamedTrace& trace : files_.traces) about["traces"].push_back(trace.path);
  if (chat_ != nullptr) {
    for (const ChatApi::Recorded& one : chat_->recorded()) {
      about["recorded"].push_back({{"number", one.number}, {"question", one.question}});
    }
  }
  for (const auto& [path, text] : files_.questions) about["questions"].push_back(path);
  for (const auto& [path, text] : files_.ladders) about["ladders"].push_back(path);
  return about;
}

HttpReply ServeApi::Text(const HttpRequest& request) {
  const auto first = NumberOf(request, "first", 0);
  const auto end = NumberOf(request, "end", 0);
  if (!first || !end) return ErrorReply(first ? end.error() : first.error());
  return ReplyOf(store_.Text(request.Query("name"), first.value(), end.value()));
}

HttpReply ServeApi::Fetches(const HttpRequest& request) {
  const auto place = PlaceOf(request, "trace", files_.traces.size());
  if (!place) return ErrorReply(place.error());
  return ReplyOf(store_.Fetches(request.Query("name"), files_.traces[place.value()]));
}

HttpReply ServeApi::Recorded(const HttpRequest& request) const {
  const auto number = NumberOf(request, "number", 0);
  if (!number) return ErrorReply(number.error());
  if (chat_ != nullptr) {
    auto document = chat_->RecordedDocument(number.value());
    if (document.has_value()) return {.status = 200, .body = *std::move(document)};
  }
  return ErrorReply(
      Fail(Errc::kNotFound, "no answer {} is recorded; the last ones are", number.value()));
}

HttpReply ServeApi::Verify(const HttpRequest& request) {
  if (request.post) (void)check_.Start();
  return JsonReply(check_.State(), request.post ? 202 : 200);
}

HttpReply ServeApi::Metrics(const HttpRequest& request) const {
  const auto place = PlaceOf(request, "n", files_.metrics_ports.size());
  if (!place) return ErrorReply(place.error());
  const auto text = FetchLocal(files_.metrics_ports[place.value()], "/metrics");
  if (!text) return ErrorReply(text.error());
  return {.status = 200, .type = "text/plain; charset=utf-8", .body = text.value()};
}

}  // namespace cairn
