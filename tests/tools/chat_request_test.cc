// Requests to the chat API: what is taken, what is refused and by which name, and stop words.
#include "tools/chat_request.h"

#include <gtest/gtest.h>

#include "tools/json_depth.h"
#include "tools/stop_words.h"

namespace cairn {
namespace {

constexpr ChatLimits kLimits{.default_tokens = 7, .most_tokens = 50};

ChatRequest Good(const std::string& body) {
  ChatRequest request;
  ChatFault fault;
  EXPECT_TRUE(ReadChatRequest(body, kLimits, &request, &fault)) << body << fault.message;
  return request;
}

std::string FaultOf(const std::string& body) {
  ChatRequest request;
  ChatFault fault;
  EXPECT_FALSE(ReadChatRequest(body, kLimits, &request, &fault)) << body;
  EXPECT_FALSE(fault.message.empty());
  return fault.param;
}

/// A good request with more in it.
std::string With(const std::string& more) {
  return R"({"model":"s","messages":[{"role":"user","content":"a"}])" + more + "}";
}

TEST(ChatRequest, Defaults) {
  const ChatRequest request = Good(With(""));
  EXPECT_EQ(request.order.session, "s");
  ASSERT_EQ(request.order.turns.size(), 1u);
  EXPECT_EQ(request.order.turns[0].text, "a");
  EXPECT_EQ(request.order.max_tokens, 7);
  EXPECT_EQ(request.order.temperature, 0);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.order.why);
}

TEST(ChatRequest, FieldsThatAreTaken) {
  const ChatRequest request = Good(
      With(R"(,"max_tokens":9,"max_completion_tokens":11,"temperature":0.5,"seed":-3,"stream":true,
        "stream_options":{"include_usage":true},"stop":["x","y"],"cairn":{"why":true},"n":1,
        "top_p":1.0,"frequency_penalty":0,"logprobs":false,"tools":[],"user":"me","seed":5)"));
  EXPECT_EQ(request.order.max_tokens, 11);
  EXPECT_FLOAT_EQ(request.order.temperature, 0.5F);
  EXPECT_EQ(request.order.seed, 5u);
  EXPECT_TRUE(request.stream && request.usage_in_stream && request.order.why);
  EXPECT_EQ(request.order.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(Good(With(R"(,"stop":"x")")).order.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(Good(With(R"(,"stop":null,"max_tokens":null)")).order.max_tokens, 7);
}

TEST(ChatRequest, ASeedIsDrawnWhereOneIsNeeded) {
  EXPECT_FALSE(Good(With("")).draws_seed);
  EXPECT_FALSE(Good(With(R"(,"temperature":0)")).draws_seed);
  EXPECT_TRUE(Good(With(R"(,"temperature":1)")).draws_seed);
  EXPECT_TRUE(Good(With(R"(,"temperature":1,"seed":null)")).draws_seed);
  EXPECT_FALSE(Good(With(R"(,"temperature":1,"seed":0)")).draws_seed);
}

TEST(ChatRequest, TurnsAndWhatASystemSays) {
  const ChatRequest request = Good(R"({"model":"s","messages":[
      {"role":"system","content":"Be brief."},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":"c"},{"role":"developer","content":"d"},
      {"role":"user","content":"e"}]})");
  ASSERT_EQ(request.order.turns.size(), 3u);
  EXPECT_EQ(request.order.turns[0].system, "Be brief.");
  EXPECT_EQ(request.order.turns[0].text, "ab");
  EXPECT_TRUE(request.order.turns[1].by_model);
  EXPECT_EQ(request.order.turns[2].system, "d");
  EXPECT_EQ(request.order.turns[2].text, "e");
}

TEST(ChatRequest, FieldsThatAreRefusedAreNamed) {
  EXPECT_EQ(FaultOf("{"), "");
  EXPECT_EQ(FaultOf("[]"), "");
  EXPECT_EQ(FaultOf(R"({"messages":[{"role":"user","content":"a"}]})"), "model");
  EXPECT_EQ(FaultOf(R"({"model":"s"})"), "messages");
  EXPECT_EQ(FaultOf(R"({"model":"s","messages":[]})"), "messages");
  EXPECT_EQ(FaultOf(R"({"model":"s","messages":[{"role":"assistant","content":"a"}]})"),
            "messages");
  EXPECT_EQ(FaultOf(R"({"model":"s","messages":[{"role":"tool","content":"a"}]})"), "messages[0]");
  EXPECT_EQ(
      FaultOf(R"({"model":"s","messages":[{"role":"user","content":[{"type":"image_url"}]}]})"),
      "messages[0]");
  for (const auto& [param, more] : std::vector<std::pair<std::string, std::string>>{
           {"max_tokens", R"("max_tokens":0)"},
           {"max_tokens", R"("max_tokens":51)"},
           {"max_tokens", R"("max_tokens":1.5)"},
           {"max_tokens", R"("max_tokens":"3")"},
           {"max_completion_tokens", R"("max_completion_tokens":99999999999999999999)"},
           {"temperature", R"("temperature":-1)"},
           {"temperature", R"("temperature":"hot")"},
           {"seed", R"("seed":18446744073709551615)"},
           {"stream", R"("stream":"yes")"},
           {"stop", R"("stop":[1])"},
           {"stream_options", R"("stream_options":1)"},
           {"n", R"("n":2)"},
           {"top_p", R"("top_p":0.9)"},
           {"presence_penalty", R"("presence_penalty":1)"},
           {"logprobs", R"("logprobs":true)"},
           {"response_format", R"("response_format":{"type":"json_object"})"},
           {"tools", R"("tools":[{}])"}}) {
    EXPECT_EQ(FaultOf(With("," + more)), param) << more;
  }
}

TEST(ChatRequest, WhyIsForShortAnswers) {
  constexpr ChatLimits kWhy{.default_tokens = 30, .most_tokens = 50, .most_why_tokens = 20};
  const auto read = [&](const std::string& more, ChatFault* fault) {
    ChatRequest request;
    return ReadChatRequest(With(R"(,"cairn":{"why":true})" + more), kWhy, &request, fault)
               ? request.order.max_tokens
               : -1;
  };
  ChatFault fault;
  EXPECT_EQ(read("", &fault), 20);  // nobody has asked for more
  EXPECT_EQ(read(R"(,"max_tokens":20)", &fault), 20);
  EXPECT_EQ(read(R"(,"max_tokens":30,"max_completion_tokens":9)", &fault), 9);
  for (const std::string name : {"max_tokens", "max_completion_tokens"}) {
    EXPECT_EQ(read(",\"" + name + "\":21", &fault), -1);
    EXPECT_EQ(fault.param, name);
    EXPECT_NE(fault.message.find("at most 20 with 'why'"), std::string::npos);
  }
}

TEST(ChatRequest, DeepOnesAreRefusedBeforeTheyAreRead) {
  const std::string deep(400'000, '[');
  for (const std::string& body :
       {With(R"(,"stop":)" + deep + std::string(deep.size(), ']')),
        With(R"(,"cairn":{"why":)" + deep + std::string(deep.size(), ']') + "}"),
        R"({"model":"s","messages":[{"role":)" + deep + std::string(deep.size(), ']') + "}]}",
        std::string(400'000, '{')}) {
    ChatRequest request;
    ChatFault fault;
    EXPECT_FALSE(ReadChatRequest(body, kLimits, &request, &fault));
    EXPECT_EQ(fault.message, "the body nests deeper than 32 lists and objects");
  }
  // Brackets of texts nest nothing, and what is closed is not open any more.
  const std::string quoted = R"(\")" + std::string(40, '[');
  Good(R"({"model":"s","messages":[{"role":"user","content":")" + quoted + R"("}]})");
  std::string many = "[]";
  for (int i = 0; i < 100; ++i) many += ",[]";
  Good(With(R"(,"user":[)" + many + "]"));
}

TEST(JsonDepth, CountsListsAndObjects) {
  EXPECT_TRUE(JsonIsShallow(R"([{"a":[1]}])", 3));
  EXPECT_FALSE(JsonIsShallow(R"([{"a":[1]}])", 2));
  EXPECT_TRUE(JsonIsShallow(R"(["[[\\\"[[",[]])", 2));
  EXPECT_FALSE(JsonIsShallow(R"(["\\",[[]]])", 2));
  EXPECT_TRUE(JsonIsShallow("\"\\", 0));
}

TEST(StopWords, EndATextInFrontOfThem) {
  StopWords none({});
  EXPECT_EQ(none.Take("abc"), "abc");
  StopWords words({"END", "", "xyz"});
  EXPECT_EQ(words.Take("one E"), "one ");
  EXPECT_EQ(words.Take("N"), "");
  EXPECT_EQ(words.Take("V x"), "ENV ");
  EXPECT_EQ(words.Take("y"), "");
  EXPECT_FALSE(words.found());
  EXPECT_EQ(words.Take("z more"), "");
  EXPECT_TRUE(words.found());
  EXPECT_EQ(words.Take("more"), "");
  EXPECT_EQ(words.Rest(), "");
  StopWords held({"END"});
  EXPECT_EQ(held.Take("the EN"), "the ");
  EXPECT_EQ(held.Rest(), "EN");
  StopWords first({"bc", "abcd"});
  EXPECT_EQ(first.Take("a"), "");
  EXPECT_EQ(first.Take("bcd"), "");  // what begins first in the text counts
  EXPECT_TRUE(first.found());
}

}  // namespace
}  // namespace cairn
