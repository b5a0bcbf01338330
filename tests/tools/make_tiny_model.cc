// make_tiny_model: writes the files the command-line tests run on, into a directory:
//   tiny.gguf        a random llama with ChatML, 2 layers, context 2,048
//   other.gguf       the same shape from another seed: another model to cairn
//   pieces.gguf      the same shape with a vocabulary of SentencePiece and [INST]
//   landmark.gguf    a landmark adapter for tiny.gguf, 15 regular tokens per block, trained on 256
//   in_loss.gguf     the same numbers, of the convention that predicts from the landmark row
//   landmark2.gguf   another landmark adapter
//   lora.gguf        an adapter without landmarks
//   lora2.gguf       another one, which changes the token embedding too
#include <cstdio>
#include <string>

#include "tests/support/tiny_model.h"

namespace {

cairn::Status WriteAll(const std::string& directory) {
  using namespace cairn::test;
  TinyModelOptions model;
  model.chat_template = "chatml-system";
  CAIRN_TRY(WriteTinyModel(directory + "/tiny.gguf", model));
  TinyModelOptions other = model;
  other.seed = 2;
  CAIRN_TRY(WriteTinyModel(directory + "/other.gguf", other));
  TinyModelOptions pieces = model;
  pieces.sentence_pieces = true;
  pieces.chat_template = "inst";
  CAIRN_TRY(WriteTinyModel(directory + "/pieces.gguf", pieces));
  TinyAdapterOptions landmark;
  CAIRN_TRY(WriteTinyAdapter(directory + "/landmark.gguf", model, landmark));
  TinyAdapterOptions in_loss = landmark;
  in_loss.in_loss = true;
  CAIRN_TRY(WriteTinyAdapter(directory + "/in_loss.gguf", model, in_loss));
  TinyAdapterOptions landmark2;
  landmark2.seed = 8;
  CAIRN_TRY(WriteTinyAdapter(directory + "/landmark2.gguf", model, landmark2));
  TinyAdapterOptions lora;
  lora.landmark = false;
  CAIRN_TRY(WriteTinyAdapter(directory + "/lora.gguf", model, lora));
  TinyAdapterOptions lora2 = lora;
  lora2.seed = 9;
  lora2.token_embedding = true;
  return WriteTinyAdapter(directory + "/lora2.gguf", model, lora2);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_tiny_model DIRECTORY\n");
    return 2;
  }
  const cairn::Status status = WriteAll(argv[1]);
  if (status.has_value()) return 0;
  std::fprintf(stderr, "make_tiny_model: %s\n", status.error().message.c_str());
  return 1;
}
