// The C API with a model on a device, by the stand-ins for CUDA.
#include <thread>

#include "tests/capi/capi_fixture.h"
#include "tests/support/cuda_on_cpu/cublasLt.h"
#include "tests/support/cuda_on_cpu/runtime.h"

namespace cairn::test {
namespace {

class CapiDevice : public CapiTest {
 protected:
  ~CapiDevice() override {
    cuda_on_cpu::SetDevices(1);
    cuda_on_cpu::SetMemory(size_t{64} << 20);
  }

  /// Store and model again, where these options say.
  void Move(const Options& store, const Options& model) {
    CloseStore();
    ASSERT_EQ(cairn_store_open(StorePath().c_str(), 0, store.get(), &store_), CAIRN_OK) << Why();
    LoadModel(model.get());
  }
  void LoadModel(const cairn_options* options) {
    ASSERT_EQ(cairn_model_free(model_), CAIRN_OK) << Why();
    model_ = nullptr;
    ASSERT_EQ(cairn_model_load_with(TinyModel("tiny.gguf").c_str(), nullptr, 0, options, &model_),
              CAIRN_OK)
        << Why();
  }
  std::string Ask() {
    cairn_session_close(session_);
    session_ = nullptr;
    const Options few{{"retrieve", "3"}, {"recent", "64"}};
    EXPECT_EQ(cairn_session_open(store_, model_, "s", few.get(), &session_), CAIRN_OK) << Why();
    std::string answer;
    EXPECT_EQ(cairn_session_ask(session_, "Who?", 12, 0, KeepText, &answer), CAIRN_OK) << Why();
    return answer;
  }
  void ExpectMismatch(const char* said) {
    EXPECT_EQ(cairn_session_open(store_, model_, "s", nullptr, &session_), CAIRN_MISMATCH);
    EXPECT_NE(Why().find(said), std::string::npos) << Why();
    EXPECT_EQ(cairn_session_create(store_, model_, "t", nullptr, &session_), CAIRN_MISMATCH);
    EXPECT_EQ(session_, nullptr);
    EXPECT_EQ(SessionNames(), std::vector<std::string>{"s"}) << "nothing is made of an error";
  }

  const Options host_{}, device_{{"device", "cuda:0"}, {"compute-memory", "3MiB"}};
};

TEST_F(CapiDevice, AModelThereAnswersAsOnTheHost) {
  CreateAndRead("s", 12);
  const std::string expected = Ask();
  EXPECT_NE(expected, "");
  Move(device_, host_);
  const uint64_t before = cuda_on_cpu::CountCublas().products;
  EXPECT_EQ(Ask(), expected) << "attention is on the device";
  EXPECT_EQ(cuda_on_cpu::CountCublas().products, before);
  Move(device_, device_);
  EXPECT_EQ(Ask(), expected);
  EXPECT_GT(cuda_on_cpu::CountCublas().products, before) << "the model was not there";
  Move(host_, host_);
  EXPECT_EQ(Ask(), expected);
}

TEST_F(CapiDevice, WhatAModelThereReadsTheHostGoesOnWith) {
  CreateAndRead("s", 5);
  Move(device_, device_);
  Create("there");
  const std::string text = LongText(8);
  ASSERT_EQ(cairn_session_read(session_, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK)
      << Why();
  const std::vector<uint32_t> tokens = Tokens();
  Move(host_, host_);
  ASSERT_EQ(cairn_session_open(store_, model_, "there", nullptr, &session_), CAIRN_OK) << Why();
  EXPECT_EQ(Tokens(), tokens);
  EXPECT_EQ(cairn_session_generate(session_, "And", 3, 8, 0, 0, nullptr, nullptr), CAIRN_OK)
      << Why();
}

TEST_F(CapiDevice, ModelAndStoreMustBeOnTheSame) {
  CreateAndRead("s");
  Move(host_, device_);
  ExpectMismatch("is on cuda:0 and the store");
  EXPECT_NE(Why().find("is on no device"), std::string::npos) << Why();
  cuda_on_cpu::SetDevices(2);
  Move(device_, Options{{"device", "cuda:1"}});
  ExpectMismatch("is on cuda:1 and the store");
  EXPECT_NE(Why().find("is on cuda:0"), std::string::npos) << Why();
  Move(Options{{"device", "cuda:1"}}, Options{{"device", "cuda:1"}});
  EXPECT_NE(Ask(), "");
}

TEST_F(CapiDevice, WhatTheCallerHasChosenOfDevicesStays) {
  CreateAndRead("s");
  cuda_on_cpu::SetDevices(2);
  int device = 0;
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  Move(device_, device_);
  const std::string said = Ask();
  ASSERT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1) << "and not cuda:0, where the work is";
  CloseStore();
  ASSERT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  Move(Options{{"device", "cuda:1"}}, Options{{"device", "cuda:1"}});
  std::thread([&] {
    EXPECT_EQ(Ask(), said);
    cairn_session_close(session_);
    session_ = nullptr;
    EXPECT_FALSE(cuda_on_cpu::HasContext()) << "this thread had chosen none";
  }).join();
  std::thread([&] {
    EXPECT_EQ(cairn_model_free(model_), CAIRN_OK) << Why();
    EXPECT_EQ(cairn_store_close(store_), CAIRN_OK) << Why();
    EXPECT_FALSE(cuda_on_cpu::HasContext()) << "what ends uses the device too";
  }).join();
  model_ = nullptr;
  store_ = nullptr;
}

TEST_F(CapiDevice, PlacesThatCannotBeAreRefused) {
  const std::string file = TinyModel("tiny.gguf");
  cairn_model* model = nullptr;
  const auto load = [&](const char* device) {
    return cairn_model_load_with(file.c_str(), nullptr, 0, Options{{"device", device}}.get(),
                                 &model);
  };
  EXPECT_EQ(load("gpu"), CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("use cpu, auto or cuda:N"), std::string::npos) << Why();
  EXPECT_EQ(load("cuda:1"), CAIRN_NOT_FOUND);
  EXPECT_NE(Why().find("cuda:1"), std::string::npos) << Why();
  cuda_on_cpu::SetMemory(size_t{40} << 10);
  EXPECT_EQ(load("cuda:0"), CAIRN_RESOURCE);
  EXPECT_NE(Why().find("cuda:0 has 40.0 KiB free"), std::string::npos) << Why();
  EXPECT_EQ(model, nullptr);
}

TEST_F(CapiDevice, AutoIsTheFirstOrTheCpu) {
  CreateAndRead("s");
  const Options first{{"device", "auto"}};
  Move(first, first);
  const uint64_t before = cuda_on_cpu::CountCublas().products;
  EXPECT_NE(Ask(), "");
  EXPECT_GT(cuda_on_cpu::CountCublas().products, before);
  CloseStore();
  LoadModel(host_.get());
  cuda_on_cpu::SetDevices(0);
  OpenStore();
  LoadModel(first.get());
  EXPECT_NE(Ask(), "");
}

}  // namespace
}  // namespace cairn::test
