/* cairn.h: stores, models and sessions for programs in C, and for all that can call C.
 *
 *   cairn_store* store;  cairn_model* model;  cairn_session* session;
 *   cairn_store_open("texts", CAIRN_STORE_CREATE, NULL, &store);
 *   cairn_model_load("model.gguf", adapters, 1, &model);
 *   cairn_session_create(store, model, "book", NULL, &session);
 *   cairn_session_read(session, text, bytes, "book.txt", NULL, NULL);
 *   cairn_session_ask(session, "Who is it about?", 128, 0, print, NULL);
 *   cairn_session_close(session);  cairn_model_free(model);  cairn_store_close(store);
 *
 * Stores, sessions and their files are those of the `cairn` program, which may go on where a
 * program has stopped, and the other way round.
 *
 * Errors. A function that can fail returns CAIRN_OK or another code, and then gives nothing through
 * its pointers and has changed nothing, unless it says otherwise. cairn_last_error() has a sentence
 * on it, for the calling thread. Nothing is thrown across this interface, and nothing is printed;
 * but a mistake of cairn's own ends the process with a message, as on disk only commits count.
 *
 * Devices. What a thread has chosen of CUDA (its current device or context) is as it was when a
 * call returns.
 *
 * Threads. A store, its sessions and the models that these use belong to one thread at a time: the
 * caller's locks see to that. Different stores with models of their own do not know of each other.
 *
 * Callbacks get `user` back. Texts are UTF-8 and valid until the callback returns; where a size
 * comes with them they need not end with a zero. A callback must not throw, jump out, or call a
 * function with a handle that the running call has; what it returns other than 0 ends that call
 * early.
 *
 * Paths that do not begin at the root are those of the current directory at the moment of the call;
 * it may be another one afterwards.
 *
 * Stability. Handles are opaque, all else that passes is numbers, pointers to numbers and texts,
 * and no struct: nothing has a size that could change. Within one soname (libcairn.so.0) functions,
 * codes and options are added and never changed or taken away. Options are names with values, so
 * new ones need no new function; a caller is to expect codes that it does not know. */
#ifndef CAIRN_H
#define CAIRN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CAIRN_API __attribute__((visibility("default")))
#else
#define CAIRN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a function that can fail returns. */
typedef int cairn_status;
enum {
  CAIRN_OK = 0,
  CAIRN_INVALID_ARGUMENT = 1, /* the caller asked for something that cannot be */
  CAIRN_NOT_FOUND = 2,        /* a named thing is not there */
  CAIRN_EXISTS = 3,           /* a named thing is there already */
  CAIRN_CORRUPTION = 4,       /* bytes are not what was written */
  CAIRN_IO = 5,               /* the operating system or the disk refused */
  CAIRN_OUT_OF_SPACE = 6,     /* a limit on disk space was reached */
  CAIRN_RESOURCE = 7,         /* a memory budget is too small, or memory is used up */
  CAIRN_BUSY = 8,             /* somebody else holds the lock, or a handle is in use */
  CAIRN_MISMATCH = 9,         /* two things that must agree do not */
  CAIRN_UNSUPPORTED = 10,     /* valid, but not something this version does */
  CAIRN_INTERRUPTED = 11,     /* a callback asked to stop */
  CAIRN_INTERNAL = 12         /* a surprise from a library below */
};

/* The version of the library, "1.2.3"; of the program that it came with too. */
CAIRN_API const char* cairn_version(void);
/* A word for a code, e.g. "not found"; never NULL. */
CAIRN_API const char* cairn_status_name(cairn_status status);
/* A sentence on the last call of this thread that failed, which names the thing and the remedy; ""
 * if none has. Valid until another call of this thread fails. */
CAIRN_API const char* cairn_last_error(void);
/* How many cores this process uses, 1 to 1024; all it may without. For the whole process: call it
 * before anything else. */
CAIRN_API cairn_status cairn_set_threads(int threads);

/* ---- options ----
 * Names and values as on the command line (docs/cli.md), without the dashes:
 *   of a store    host-memory, compute-memory, disk-limit ("2GiB"), device, read-ahead ("true")
 *   of a model    device
 *   of a session that is made
 *                 chunk, block-tokens, representatives, kv-type, selection, raw ("true")
 *   of a session that is opened or made
 *                 retrieve, sinks, recent, query-stride, index, mass-target, mass-by,
 *                 sketches ("true")
 *   of the model behind a past
 *                 model-name, layers, query-heads, kv-heads, context, scale,
 *                 mode ("unmodified", "landmark"), rope ("half-split", "interleaved")
 * One object may hold all of them: each function takes what is its own. NULL is no options. */
typedef struct cairn_options cairn_options;

CAIRN_API cairn_status cairn_options_new(cairn_options** options);
/* CAIRN_INVALID_ARGUMENT for a name that is none of these, or a value that is no number where one
 * is wanted; other values are looked at where they are used. */
CAIRN_API cairn_status cairn_options_set(cairn_options* options, const char* name,
                                         const char* value);
CAIRN_API void cairn_options_free(cairn_options* options);

/* ---- stores ---- */
typedef struct cairn_store cairn_store;
enum {
  CAIRN_STORE_CREATE = 1,   /* make a store if there is none */
  CAIRN_STORE_READ_ONLY = 2 /* list and verify only; beside a writer, and as of this moment */
};

/* Opens the store in a directory. One process at a time has it for writing: CAIRN_BUSY. */
CAIRN_API cairn_status cairn_store_open(const char* directory, unsigned flags,
                                        const cairn_options* options, cairn_store** store);
/* CAIRN_BUSY while sessions are open in it. NULL is fine. */
CAIRN_API cairn_status cairn_store_close(cairn_store* store);

/* Sees each session with the tokens that are committed of it, by name. Not 0: no more of them.
 * CAIRN_CORRUPTION if there is one whose entry cannot be read; all others were seen then. */
typedef int (*cairn_session_fn)(void* user, const char* name, uint64_t tokens);
CAIRN_API cairn_status cairn_store_sessions(cairn_store* store, cairn_session_fn each, void* user);
/* Makes a session that shares all the committed past of another one, and costs no space for it. */
CAIRN_API cairn_status cairn_store_fork(cairn_store* store, const char* source, const char* name);
/* Removes a session, and frees what no other one shares. CAIRN_BUSY if it is open. */
CAIRN_API cairn_status cairn_store_delete(cairn_store* store, const char* name);

/* Sees what is damaged: of which session ("": of the whole store), and a sentence. */
typedef int (*cairn_damage_fn)(void* user, const char* session, const char* what);
/* Reads all that is stored, or what is of one session (NULL: all), and checks it. CAIRN_CORRUPTION
 * if anything is damaged, another error if something cannot be read now, and may be whole; `each`
 * (may be NULL) has seen all of it then. */
CAIRN_API cairn_status cairn_store_verify(cairn_store* store, const char* session,
                                          cairn_damage_fn each, void* user);

/* ---- models ---- */
typedef struct cairn_model cairn_model;

/* Loads a GGUF file and `count` adapters, each FILE, FILE=SCALE, or the name of one that is
 * installed with cairn. Takes seconds, and memory for all weights. */
CAIRN_API cairn_status cairn_model_load(const char* file, const char* const* adapters, size_t count,
                                        cairn_model** model);
/* The same, onto the device that the options name ("cpu", "auto" or "cuda:N"; without: "cpu"): its
 * weights are in that device's memory then and all of its work is done there, for sessions of
 * stores on the same device. CAIRN_RESOURCE if they do not fit; what is free when the first session
 * of a store is opened is shared out then, so load the model before that. */
CAIRN_API cairn_status cairn_model_load_with(const char* file, const char* const* adapters,
                                             size_t count, const cairn_options* options,
                                             cairn_model** model);
/* CAIRN_BUSY while sessions use it. NULL is fine. */
CAIRN_API cairn_status cairn_model_free(cairn_model* model);
/* Writes the first `capacity` tokens of a text to `tokens`, and how many it has to `count`. It is
 * taken for the start of a text: models of SentencePiece mostly have one more space there. */
CAIRN_API cairn_status cairn_model_tokenize(const cairn_model* model, const char* text,
                                            size_t bytes, uint32_t* tokens, size_t capacity,
                                            size_t* count);
/* Writes the first `capacity` bytes of a token's text to `text`, and how many it has to `bytes`. A
 * character may be parted between tokens. */
CAIRN_API cairn_status cairn_model_token_text(const cairn_model* model, uint32_t token, char* text,
                                              size_t capacity, size_t* bytes);

/* ---- sessions ----
 * One sequence and its past. What is committed stays after a crash; what is not is scratch: a
 * revert drops it, and so does closing. After an error in reading, appending, generating or asking,
 * the session is at its last commit; but an argument that is refused changes nothing. */
typedef struct cairn_session cairn_session;

/* Opens a session at its last commit. CAIRN_MISMATCH if it was made with another model or adapters;
 * if the model is on a device and the store is not on the same one (the other way round, with the
 * model on the CPU, works); or if sessions that are open in the store have blocks of another size
 * (another model, block-tokens or kv-type). Store and model must stay open. */
CAIRN_API cairn_status cairn_session_open(cairn_store* store, cairn_model* model, const char* name,
                                          const cairn_options* options, cairn_session** session);
/* Makes an empty session, which is there at once. Names have 1 to 128 letters, digits, '.', '_' and
 * '-'. CAIRN_EXISTS if the name is taken, CAIRN_MISMATCH as above. */
CAIRN_API cairn_status cairn_session_create(cairn_store* store, cairn_model* model,
                                            const char* name, const cairn_options* options,
                                            cairn_session** session);
/* Drops what is not committed. NULL is fine. */
CAIRN_API void cairn_session_close(cairn_session* session);

/* Tokens that it has, and those of them that are committed. */
CAIRN_API uint64_t cairn_session_tokens(const cairn_session* session);
CAIRN_API uint64_t cairn_session_committed_tokens(const cairn_session* session);
/* Writes tokens [first, first + capacity), or as many as there are, to `tokens`, and how many that
 * are to `count`. */
CAIRN_API cairn_status cairn_session_read_tokens(const cairn_session* session, uint64_t first,
                                                 uint32_t* tokens, size_t capacity, size_t* count);

/* Sees how much of a text is read. Not 0: stop here. */
typedef int (*cairn_progress_fn)(void* user, uint64_t done, uint64_t total);
/* Reads a text into the session, as `cairn ingest` does: in a user's turn of the model's chat
 * template, unless the session is raw; with a commit about every 4,096 tokens and at the end. A
 * text that was read before changes nothing; CAIRN_INTERRUPTED if `progress` (may be NULL) stopped
 * it: what was read is committed, and the same call goes on from there. `source` is a name for
 * messages (NULL: none). */
CAIRN_API cairn_status cairn_session_read(cairn_session* session, const char* text, size_t bytes,
                                          const char* source, cairn_progress_fn progress,
                                          void* user);
/* Appends tokens as they are; scratch until a commit. */
CAIRN_API cairn_status cairn_session_append(cairn_session* session, const uint32_t* tokens,
                                            size_t count);

/* Sees an answer in pieces, whole characters each. Not 0: the answer ends here. */
typedef int (*cairn_text_fn)(void* user, const char* text, size_t bytes);
/* Goes on from a prompt (not empty) as plain text, whatever the session is; at most `max_tokens`
 * tokens. Temperature 0 takes the likeliest ones, others draw with `seed`. Prompt and answer are
 * scratch until a commit. */
CAIRN_API cairn_status cairn_session_generate(cairn_session* session, const char* prompt,
                                              size_t bytes, uint64_t max_tokens, float temperature,
                                              uint64_t seed, cairn_text_fn piece, void* user);
enum { CAIRN_ASK_KEEP = 1 /* question and answer become part of the session, committed */ };
/* Asks and answers, as `cairn ask` does, and leaves the session as it was unless `flags` say
 * otherwise. CAIRN_INVALID_ARGUMENT while anything is not committed. */
CAIRN_API cairn_status cairn_session_ask(cairn_session* session, const char* question,
                                         uint64_t max_tokens, unsigned flags, cairn_text_fn piece,
                                         void* user);

/* Makes everything so far durable, in one atomic step over all layers. */
CAIRN_API cairn_status cairn_session_commit(cairn_session* session);
/* Returns to the last commit. */
CAIRN_API cairn_status cairn_session_revert(cairn_session* session);

/* ---- pasts ----
 * The memory of a model that the caller runs: queries, keys and values go in, attention comes out.
 * A past is a session, committed, checked, forked and looked at like any other; but only the caller
 * can go on with it.
 *
 *   cairn_past_create(store, "book", options, frequencies, D / 2, &past);
 *   for each run of up to `chunk` rows of the text (an answer: of one row):
 *     cairn_past_begin(past, rows);
 *     for each layer:  cairn_past_attend(past, layer, q, k, v, o);
 *     cairn_past_end(past, tokens, rows);
 *   cairn_past_commit(past);
 *
 * Queries and keys are handed over before the rotary embedding, which is applied in here: blocks
 * are attended at other positions than they were read at, so that no distance is one that the model
 * was not trained on.
 *
 * The options say what the model is: model-name, layers, query-heads, kv-heads and context (rows it
 * was trained on) are needed; scale is 1/sqrt(D) without, mode "unmodified", and rope says which
 * numbers of a row are rotated together, "half-split" c and c + D/2 (as models of Hugging Face), or
 * "interleaved" 2c and 2c + 1. In mode "landmark" every row block-tokens + 1 is a landmark, which
 * the caller feeds as a row that is no token.
 *
 * After an error in attending or ending a step the past is at its last commit; but an argument that
 * is refused changes nothing. */
typedef struct cairn_past cairn_past;

/* Makes an empty one, which is there at once. `frequencies`: `count` = D/2 of them, radians per
 * position. CAIRN_EXISTS if the name is taken. */
CAIRN_API cairn_status cairn_past_create(cairn_store* store, const char* name,
                                         const cairn_options* options, const double* frequencies,
                                         size_t count, cairn_past** past);
/* Opens one at its last commit. CAIRN_MISMATCH if it is of another model: another name, size, mode,
 * scale or rotary embedding. The store must stay open. */
CAIRN_API cairn_status cairn_past_open(cairn_store* store, const char* name,
                                       const cairn_options* options, const double* frequencies,
                                       size_t count, cairn_past** past);
/* Drops what is not committed. NULL is fine. */
CAIRN_API void cairn_past_close(cairn_past* past);

/* Rows of all steps that are ended, and those of them that are committed. */
CAIRN_API uint64_t cairn_past_rows(const cairn_past* past);
CAIRN_API uint64_t cairn_past_committed_rows(const cairn_past* past);
/* The most rows of a step, which is the `chunk` that it was made with. */
CAIRN_API uint32_t cairn_past_chunk(const cairn_past* past);
/* As cairn_session_read_tokens. */
CAIRN_API cairn_status cairn_past_read_tokens(const cairn_past* past, uint64_t first,
                                              uint32_t* tokens, size_t capacity, size_t* count);

/* Says anew how the past is used from the next step on: retrieve, sinks, recent, query-stride,
 * selection, mass-target, mass-by, sketches; what is not given is as usual, and the selection as
 * the past was made. */
CAIRN_API cairn_status cairn_past_choose(cairn_past* past, const cairn_options* options);

/* Begins a step of 1 to `chunk` rows. */
CAIRN_API cairn_status cairn_past_begin(cairn_past* past, uint32_t rows);
/* Adds the step's keys and values of one layer to the past, and attends: each row to itself, to
 * those before it in the step, and to what is chosen of the past. `q`, `o`: [rows, query-heads, D];
 * `k`, `v`: [rows, kv-heads, D]; f32 without gaps, finite, and `o` apart from the others. Layers in
 * any order, each once a step. */
CAIRN_API cairn_status cairn_past_attend(cairn_past* past, uint32_t layer, const float* q,
                                         const float* k, const float* v, float* o);
/* Ends a step of which all layers were attended. `tokens`: of each row that is not a landmark, any
 * numbers that the caller knows its text by. */
CAIRN_API cairn_status cairn_past_end(cairn_past* past, const uint32_t* tokens, size_t count);
/* Undoes an open step, and nothing else. */
CAIRN_API cairn_status cairn_past_abort(cairn_past* past);

/* Makes all steps so far durable, in one atomic step over all layers. */
CAIRN_API cairn_status cairn_past_commit(cairn_past* past);
/* Returns to the last commit. */
CAIRN_API cairn_status cairn_past_revert(cairn_past* past);

#ifdef __cplusplus
}
#endif

#endif /* CAIRN_H */
