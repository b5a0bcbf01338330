/* ask: a question to a session, answered from its whole past, in C.
 *
 *   ask STORE SESSION MODEL QUESTION [ADAPTER...]
 *
 * The session is one that `cairn ingest` has made, or a program (examples/cmake). With CAIRN_DEVICE
 * in the environment ("cuda:0") model and blocks are there, as with the program. */
#include <cairn.h>
#include <stdio.h>
#include <stdlib.h>

/* Shows a piece of the answer as soon as it is there; 0 asks for more. */
static int show(void* user, const char* text, size_t bytes) {
  FILE* out = user;
  return fwrite(text, 1, bytes, out) == bytes && fflush(out) == 0 ? 0 : 1;
}

/* A session of the store that is not there is likely misspelt: shows those that are. */
static int show_name(void* user, const char* name, uint64_t tokens) {
  fprintf(user, "  %s, %llu tokens\n", name, (unsigned long long)tokens);
  return 0;
}

static int failed(const char* what) {
  fprintf(stderr, "ask: %s: %s\n", what, cairn_last_error());
  return 1;
}

static int ask(cairn_store* store, cairn_model* model, const char* name, const char* question) {
  cairn_session* session = NULL;
  cairn_status status = cairn_session_open(store, model, name, NULL, &session);
  if (status == CAIRN_NOT_FOUND) {
    fprintf(stderr, "the store has\n");
    cairn_store_sessions(store, show_name, stderr);
  }
  if (status != CAIRN_OK) return failed(name);
  fprintf(stderr, "%s has %llu tokens\n", name, (unsigned long long)cairn_session_tokens(session));
  status = cairn_session_ask(session, question, 128, 0, show, stdout);
  printf("\n");
  cairn_session_close(session);
  return status == CAIRN_OK ? 0 : failed("no answer");
}

/* Store and model on the same device; without one, on the CPU. */
static cairn_status place(cairn_options** options) {
  const char* device = getenv("CAIRN_DEVICE");
  const cairn_status status = cairn_options_new(options);
  if (status != CAIRN_OK || device == NULL) return status;
  return cairn_options_set(*options, "device", device);
}

int main(int argc, char** argv) {
  cairn_options* options = NULL;
  cairn_store* store = NULL;
  cairn_model* model = NULL;
  int result;
  if (argc < 5) {
    fprintf(stderr, "usage: %s STORE SESSION MODEL QUESTION [ADAPTER...]\n", argv[0]);
    return 2;
  }
  if (place(&options) != CAIRN_OK) return failed("CAIRN_DEVICE");
  if (cairn_store_open(argv[1], 0, options, &store) != CAIRN_OK) {
    result = failed(argv[1]);
  } else if (cairn_model_load_with(argv[3], (const char* const*)argv + 5, (size_t)argc - 5, options,
                                   &model) != CAIRN_OK) {
    result = failed(argv[3]);
  } else {
    result = ask(store, model, argv[2], argv[4]);
  }
  cairn_model_free(model);
  cairn_store_close(store);
  cairn_options_free(options);
  return result;
}
