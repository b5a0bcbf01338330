// remember: reads a text from standard input into a session, which it makes if there is none.
//
//   remember STORE SESSION MODEL [ADAPTER...] <TEXT
//
// With CAIRN_DEVICE in the environment ("cuda:0") model and blocks are there, as with the program.
#include <cairn.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

namespace {

// Owners, destroyed in the order that the API wants: the session before what it needs.
struct Close {
  void operator()(cairn_options* options) const { cairn_options_free(options); }
  void operator()(cairn_store* store) const { cairn_store_close(store); }
  void operator()(cairn_model* model) const { cairn_model_free(model); }
  void operator()(cairn_session* session) const { cairn_session_close(session); }
};
template <class T>
using Owner = std::unique_ptr<T, Close>;

int Failed(const std::string& what) {
  std::cerr << "remember: " << what << ": " << cairn_last_error() << "\n";
  return 1;
}

int ShowProgress(void*, uint64_t done, uint64_t total) {
  std::cerr << done << " of " << total << " tokens\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: " << argv[0] << " STORE SESSION MODEL [ADAPTER...] <TEXT\n";
    return 2;
  }
  cairn_options* place = nullptr;
  if (cairn_options_new(&place) != CAIRN_OK) return Failed("options");
  const Owner<cairn_options> options(place);
  const char* const device = std::getenv("CAIRN_DEVICE");
  if (device != nullptr && cairn_options_set(place, "device", device) != CAIRN_OK) {
    return Failed(device);
  }
  cairn_store* opened = nullptr;
  if (cairn_store_open(argv[1], CAIRN_STORE_CREATE, place, &opened) != CAIRN_OK) {
    return Failed(argv[1]);
  }
  const Owner<cairn_store> store(opened);
  cairn_model* loaded = nullptr;
  if (cairn_model_load_with(argv[3], argv + 4, static_cast<size_t>(argc - 4), place, &loaded) !=
      CAIRN_OK) {
    return Failed(argv[3]);
  }
  const Owner<cairn_model> model(loaded);
  cairn_session* made = nullptr;
  cairn_status status = cairn_session_create(store.get(), model.get(), argv[2], nullptr, &made);
  if (status == CAIRN_EXISTS) {
    status = cairn_session_open(store.get(), model.get(), argv[2], nullptr, &made);
  }
  if (status != CAIRN_OK) return Failed(argv[2]);
  const Owner<cairn_session> session(made);

  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  if (cairn_session_read(session.get(), text.data(), text.size(), "standard input", ShowProgress,
                         nullptr) != CAIRN_OK) {
    return Failed("reading");
  }
  std::cout << argv[2] << " has " << cairn_session_tokens(session.get()) << " tokens\n";
  return 0;
}
