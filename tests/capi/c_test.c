/* cairn.h in C11: it compiles alone and without a warning, and a program gets from an empty
 * directory to an answer and back. Takes a directory to work in and a model. */
#include <cairn.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int good, const char* what) {
  if (good) return;
  ++failures;
  fprintf(stderr, "failed: %s (%s)\n", what, cairn_last_error());
}
#define EXPECT(condition) expect((condition) ? 1 : 0, #condition)

static int count_bytes(void* user, const char* text, size_t bytes) {
  (void)text;
  *(size_t*)user += bytes;
  return 0;
}

static int count_sessions(void* user, const char* name, uint64_t tokens) {
  if (strcmp(name, "c") == 0 && tokens > 0) ++*(int*)user;
  return 0;
}

/* Every function refuses what is missing, and says what that is. */
static void refuses_null(void) {
  size_t n = 0;
  uint64_t none = 0;
  cairn_options* options = NULL;
  EXPECT(cairn_options_new(NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_options_new(&options) == CAIRN_OK);
  EXPECT(cairn_options_set(NULL, "chunk", "64") == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_options_set(options, NULL, "64") == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_options_set(options, "chunk", NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(strstr(cairn_last_error(), "value") != NULL);
  cairn_options_free(options);
  EXPECT(cairn_store_open(NULL, 0, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_store_close(NULL) == CAIRN_OK);
  EXPECT(cairn_store_sessions(NULL, count_sessions, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_store_fork(NULL, "a", "b") == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_store_delete(NULL, "a") == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_store_verify(NULL, NULL, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_model_load(NULL, NULL, 0, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_model_load_with(NULL, NULL, 0, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_model_free(NULL) == CAIRN_OK);
  EXPECT(cairn_model_tokenize(NULL, "a", 1, NULL, 0, &n) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_model_token_text(NULL, 1, NULL, 0, &n) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_open(NULL, NULL, "a", NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_create(NULL, NULL, "a", NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  cairn_session_close(NULL);
  EXPECT(cairn_session_tokens(NULL) == none);
  EXPECT(cairn_session_committed_tokens(NULL) == none);
  EXPECT(cairn_session_read_tokens(NULL, 0, NULL, 0, &n) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_read(NULL, "a", 1, NULL, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_append(NULL, NULL, 0) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_generate(NULL, "a", 1, 1, 0, 0, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_ask(NULL, "a", 1, 0, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_commit(NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_create(NULL, "a", NULL, NULL, 0, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_open(NULL, "a", NULL, NULL, 0, NULL) == CAIRN_INVALID_ARGUMENT);
  cairn_past_close(NULL);
  EXPECT(cairn_past_rows(NULL) == none);
  EXPECT(cairn_past_committed_rows(NULL) == none);
  EXPECT(cairn_past_chunk(NULL) == none);
  EXPECT(cairn_past_read_tokens(NULL, 0, NULL, 0, &n) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_choose(NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_begin(NULL, 1) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_attend(NULL, 0, NULL, NULL, NULL, NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_end(NULL, NULL, 0) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_abort(NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_commit(NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_past_revert(NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(cairn_session_revert(NULL) == CAIRN_INVALID_ARGUMENT);
  EXPECT(strstr(cairn_last_error(), "session") != NULL);
}

/* A session on a store and a model, from nothing to an answer. */
static void reads_and_answers(const char* directory, const char* file) {
  static const char text[] = "In the beginning was a long tale of the sea.";
  cairn_store* store = NULL;
  cairn_model* model = NULL;
  cairn_session* session = NULL;
  size_t bytes = 0;
  int sessions = 0;
  EXPECT(cairn_store_open(directory, CAIRN_STORE_CREATE, NULL, &store) == CAIRN_OK);
  EXPECT(cairn_model_load(file, NULL, 0, &model) == CAIRN_OK);
  EXPECT(cairn_session_create(store, model, "c", NULL, &session) == CAIRN_OK);
  EXPECT(cairn_session_read(session, text, sizeof text - 1, NULL, NULL, NULL) == CAIRN_OK);
  EXPECT(cairn_session_ask(session, "Who?", 8, 0, count_bytes, &bytes) == CAIRN_OK);
  EXPECT(bytes > 0);
  EXPECT(cairn_store_sessions(store, count_sessions, &sessions) == CAIRN_OK);
  EXPECT(sessions == 1);
  cairn_session_close(session);
  EXPECT(cairn_store_delete(store, "c") == CAIRN_OK);
  EXPECT(cairn_model_free(model) == CAIRN_OK);
  EXPECT(cairn_store_close(store) == CAIRN_OK);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s DIRECTORY MODEL\n", argv[0]);
    return 2;
  }
  EXPECT(strlen(cairn_version()) >= 5);
  EXPECT(strcmp(cairn_status_name(CAIRN_OK), "ok") == 0);
  EXPECT(cairn_set_threads(2) == CAIRN_OK);
  refuses_null();
  reads_and_answers(argv[1], argv[2]);
  return failures == 0 ? 0 : 1;
}
