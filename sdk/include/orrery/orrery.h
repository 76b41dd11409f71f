/* Orrery host API: load a model, run it, read the answer. See base.h for the rules of the ABI and the status codes.
 *
 * Objects are opaque. [any-thread] calls may come from any thread at any time; [session-thread] calls on one object
 * must not overlap (another thread may take over between calls). Releasing NULL does nothing. An object keeps what it
 * was made from alive: engine, model and sessions may be released in any order.
 * Callbacks come on the thread that made the call, except in an asynchronous run (orr_session_start), where they come
 * on a thread of the engine's once it is planned. Threads of the engine need 256 KiB of stack. Signal handlers, locale, environment, MXCSR
 * and the working directory are left alone, and have no say in results: the engine computes (and calls back) in the
 * default float mode and gives each thread its own back. Once all objects are released the library may be unloaded;
 * jobs that an orr_executor has not run yet must be run before. */
#ifndef ORRERY_ORRERY_H
#define ORRERY_ORRERY_H

#include "orrery/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(ORR_BUILDING)
#define ORR_API ORR_EXPORT
#else
#define ORR_API
#endif

typedef struct orr_engine orr_engine;
typedef struct orr_model orr_model;
typedef struct orr_session orr_session;
typedef struct orr_adapter orr_adapter;
typedef struct orr_task orr_task;
typedef struct orr_text orr_text; /* a string owned by the caller */

/* ---------------------------------------------------------------- version, errors, strings */

/* "0.1.0", say; static. [any-thread] */
ORR_API const char* orr_version(void);
/* ABI of the loaded library: (major << 16) | minor. [any-thread] */
ORR_API uint32_t orr_abi_version(void);
/* SPDX expression of the library itself; static. Plugins' licences: orr_engine_describe(engine, "plugins"). */
ORR_API const char* orr_licence(void);
/* Text of the last failure seen by this thread, "" when there was none. Valid until this thread's next failing call. */
ORR_API const char* orr_error_text(void);
/* "ORR_NOT_FOUND"; static. [any-thread] */
ORR_API const char* orr_status_name(orr_status status);

ORR_API const char* orr_text_data(const orr_text* text); /* NUL-terminated; valid until release */
ORR_API uint64_t orr_text_size(const orr_text* text);
ORR_API void orr_text_release(orr_text* text);

/* ---------------------------------------------------------------- engine */

/* The host's allocator; both or neither. Called from any thread. allocate returns NULL to refuse. */
typedef struct orr_allocator {
    orr_header header;
    void* user;
    void* (*allocate)(void* user, size_t bytes, size_t alignment);
    void (*release)(void* user, void* memory, size_t bytes, size_t alignment);
} orr_allocator;

/* The host's threads. submit must arrange that job(arg) is called once, soon, on some thread; the engine never blocks
 * waiting for a job to *start*, so a busy pool costs speed only. A job that is called within submit helps nobody. */
typedef struct orr_executor {
    orr_header header;
    void* user;
    uint32_t threads; /* how many jobs may run at once, besides the calling thread */
    void (*submit)(void* user, void (*job)(void* arg), void* arg);
} orr_executor;

struct orr_vulkan_host; /* ext/vulkan.h */
struct orr_vulkan_buffer;
struct orr_vulkan_share;

typedef struct orr_engine_options {
    orr_header header;
    const orr_allocator* allocator; /* NULL: the C++ runtime's. Copied. */
    const orr_executor* executor;   /* NULL: oneTBB. Copied. */
    void (*log)(void* user, int32_t level, const char* text);
    void* log_user;
    int32_t log_level; /* most detailed level wanted; ORR_LOG_* */
    /* Folders with *.orrery.json manifests, searched in this order. NULL-terminated list or NULL. */
    const char* const* plugin_dirs;
    bool no_default_plugins; /* do not also search <folder of liborrery>/orrery */
    /* Bytes of weights, states and workspaces that all models and sessions together may hold; 0: no limit. */
    uint64_t memory_budget_bytes;
    /* Best CPU instruction set to use, ORR_ISA_*; AUTO: what the processor has. One that it lacks is an error. */
    uint32_t isa;
    /* Bytes that each device may hold of this engine; 0: what the device has. What does not fit beside the activations of
     * a run stays with the processor, the last layers first; a run that needs more room than the ones before sends further
     * layers there (orr_session_describe "memory": device_eighths; "plan": the steps and the reasons). */
    uint64_t device_memory_budget_bytes;
    /* The host's own Vulkan device, or the loader to use (ext/vulkan.h). NULL: the engine finds devices itself. Copied. */
    const struct orr_vulkan_host* vulkan;
    /* Folder for compiled pipelines and the results of self-tests; NULL: the user's cache folder, "": none. */
    const char* cache_dir;
    /* Milliseconds that one submission to a device may take; 0: 100. Plans are cut into submissions by guesses of what their steps cost. The
     * guesses are corrected where a submission took longer, and where hundreds in a row took far less than they say, since something else on the
     * device may have been slow; a plan is cut anew at most twice. A run is cancelled, paused and reports progress between submissions. One step
     * is never cut. Has no say in results. */
    uint32_t device_submission_ms;
    /* Trust devices: do not compare a kernel with its definition where a model first uses it on a device. */
    bool no_self_test;
    /* Shaders to do without, by name; '*' stands for any text. NULL-terminated list or NULL. For a driver that builds a shader wrong, and for
     * comparing forms of one operator: what a shader served goes to the next form that can, or to the processor. A pattern that fits no shader is no
     * error, since plugins are loaded later. Results of self-tests that are kept stay as they are. Copied. */
    const char* const* without_shaders;
} orr_engine_options;

/* options may be NULL. [any-thread] */
ORR_API orr_status orr_engine_create(const orr_engine_options* options, orr_engine** engine);
/* Where Vulkan is used, release the engine and all that was made with it before exit handlers and destructors of statics run, so hold none of
 * them in a static: drivers tear themselves down there, NVIDIA's before the engine's last calls reach it, which ends in a crash. */
ORR_API void orr_engine_release(orr_engine* engine);
/* JSON about `what`: "plugins" (with licences), "operators", "formats", "models", "types", "tasks", "taps", "adapters", "tokenizers", "capabilities"
 * (processor, instruction sets, devices; those that nothing runs on yet are looked at, not opened), "devices" (opens each,
 * to tell what is used of it or why it cannot be), "conflicts". Loads every plugin only for "operators". [any-thread] */
ORR_API orr_status orr_engine_describe(orr_engine* engine, const char* what, orr_text** json);
/* Reads the manifests of another folder, or of all folders again (folder NULL). [any-thread] */
ORR_API orr_status orr_engine_scan(orr_engine* engine, const char* folder);
/* Adds a statically linked plugin: its entry function (see plugin.h). [any-thread] */
ORR_API orr_status orr_engine_add_plugin(orr_engine* engine, const struct orr_plugin* (*entry)(const struct orr_host* host));

/* ---------------------------------------------------------------- model */

/* Host I/O for models in pak files. Names are relative, '/'-separated; "" is the single file of a one-file model.
 * Called from any thread while the model lives. */
typedef struct orr_io {
    orr_header header;
    void* user;
    /* A number >= 0 for an existing file, -1 otherwise. */
    int32_t (*open)(void* user, const char* name);
    uint64_t (*size)(void* user, int32_t file);
    /* 0 on success. */
    int32_t (*read)(void* user, int32_t file, uint64_t offset, uint64_t size, void* dst);
} orr_io;

typedef struct orr_blob {
    orr_header header;
    const char* name; /* "model.safetensors"; "" or NULL for a one-file model */
    const void* data; /* must stay valid and unchanged while the model lives */
    uint64_t size;
} orr_blob;

/* Return false to cancel. fraction in [0, 1]. */
typedef bool (*orr_progress_fn)(void* user, double fraction, const char* what);

typedef struct orr_model_options {
    orr_header header;
    /* A folder or a file, UTF-8 (or io, or blobs). The files are mapped: they must stay as they are while the model lives (a file that is cut short
     * ends the process where its lost pages are read). */
    const char* path;
    const orr_io* io; /* host I/O (copied); or */
    const orr_blob* const* blobs;
    uint32_t blob_count;
    const char* device; /* "cpu" (default), "vulkan", "vulkan:1" */
    orr_progress_fn progress;
    void* progress_user;
    bool allow_extra_tensors; /* tensors in the checkpoint that the architecture does not know are no error */
} orr_model_options;

/* Maps the checkpoint, chooses architecture and plugins, checks configuration and tensors. [any-thread] */
ORR_API orr_status orr_model_open(orr_engine* engine, const orr_model_options* options, orr_model** model);
ORR_API void orr_model_release(orr_model* model);
/* JSON about `what`: "summary", "entries", "inputs", "outputs", "states", "controls", "values", "graph" (text form inside
 * a string), "weights", "plugins", "tokenizer", "config", "ignored" (configuration keys not used). entry NULL: default.
 * [any-thread] */
ORR_API orr_status orr_model_describe(orr_model* model, const char* what, const char* entry, orr_text** json);

typedef struct orr_estimate {
    orr_header header;
    uint64_t weight_bytes;    /* as they will lie in memory */
    uint64_t state_bytes;     /* for the context asked about */
    uint64_t workspace_bytes; /* plan memory for one prompt chunk */
    uint64_t available_bytes; /* budget left, or free memory of the machine where there is no budget */
    bool fits;
} orr_estimate;
/* Before loading: reads headers only. context 0: the model's own. [any-thread] */
ORR_API orr_status orr_model_estimate(orr_engine* engine, const orr_model_options* options, int64_t context, orr_estimate* estimate);

/* ---------------------------------------------------------------- tokeniser of a model */

/* A tokeniser alone, from a GGUF, a model folder or a folder with only a tokenizer.json: a model handle that has
 * nothing else. [any-thread] */
ORR_API orr_status orr_tokenizer_open(orr_engine* engine, const orr_model_options* options, orr_model** model);
enum { ORR_NO_SPECIAL = 1, ORR_SKIP_SPECIAL = 2 };
/* Writes up to capacity ids, and the number there are to *count (which may exceed capacity: call again). flags:
 * ORR_NO_SPECIAL adds no tokens of its own; special tokens written in the text are recognised all the same. */
ORR_API orr_status orr_tokenize(orr_model* model, const char* text, uint64_t size, uint32_t flags, int32_t* ids, uint64_t capacity, uint64_t* count);
/* flags: ORR_SKIP_SPECIAL leaves special tokens out. */
ORR_API orr_status orr_detokenize(orr_model* model, const int32_t* ids, uint64_t count, uint32_t flags, orr_text** text);
/* messages_json: [{"role": "user", "content": "…"}, …]; options_json: {"add_generation_prompt": true, …} or NULL.
 * ORR_NOT_FOUND when the checkpoint has no template. */
ORR_API orr_status orr_apply_chat_template(orr_model* model, const char* messages_json, const char* options_json, orr_text** text);

/* ---------------------------------------------------------------- session */

/* A named tensor in the host's memory, or in a buffer of the device (ext/vulkan.h): contiguous, row-major, plain element
 * type. */
typedef struct orr_named_tensor {
    orr_header header;
    const char* name;
    uint32_t type; /* ORR_TYPE_*, plain */
    int32_t rank;
    int64_t shape[ORR_MAX_RANK];
    const void* data;
    uint64_t size_bytes;
    const struct orr_vulkan_buffer* buffer; /* where data is NULL; else NULL */
} orr_named_tensor;

typedef struct orr_session_options {
    orr_header header;
    int64_t context;        /* tokens that states can hold; 0: the model's own, at most 8192 */
    int64_t batch;          /* sequences stepped in lockstep; 0: 1 */
    uint32_t threads;       /* 0: all that the executor has */
    /* ORR_NUMERICS_*: EXACT computes in f32; DEFAULT rounds activations to int8 where weights are quantised; FAST also to
     * bf16 where weights are and the processor multiplies them, and folds norm weights. */
    uint32_t numerics;
    const char* cache_type; /* "f16" (default), "f32", "bf16", "q8_0" */
    uint32_t isa;           /* ORR_ISA_*; AUTO: the engine's */
    /* Called between nodes of long runs ("running"), and while a plan is made ("planning": the first repacks weights, and uploads
     * them to a device, in the course of which it is called too, and before each self-test of a kernel, of which the text then
     * tells; fractions begin anew with each plan and each run); returning false cancels. NULL: none. */
    orr_progress_fn progress;
    void* progress_user;
    int32_t priority;       /* among asynchronous runs of one engine: higher first */
    bool reference_kernels; /* run the definitions: slow; for checking */
    bool no_rewrites;       /* leave the graph as the model built it */
    bool profile;           /* keep times per node for orr_session_describe(…, "profile") */
} orr_session_options;

/* options may be NULL. [any-thread] */
ORR_API orr_status orr_session_create(orr_model* model, const orr_session_options* options, orr_session** session);
ORR_API void orr_session_release(orr_session* session);

/* Runs one entry (NULL: the default) on named tensors and returns when done. Inputs are copied. `outputs` names the
 * values wanted (outputs or any named value of the graph), NULL: all declared outputs. [session-thread] */
ORR_API orr_status orr_session_run(orr_session* session, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs,
                                   uint32_t output_count, const char* const* outputs);
/* What the next run of this session, by whichever call (of orr_session_run_batch that of sessions[0]), shares with the
 * host's own work on its Vulkan device: semaphores to wait for and to give, and outputs that stay on the device
 * (ext/vulkan.h). Copied. Replaces what was set before and not run; NULL: nothing. ORR_UNSUPPORTED where the session is on no device of the host's. [session-thread] */
ORR_API orr_status orr_session_share(orr_session* session, const struct orr_vulkan_share* share);
/* A result of the last run: fills *tensor; its memory is the session's, valid until the next run. [session-thread] */
ORR_API orr_status orr_session_output(orr_session* session, const char* name, orr_named_tensor* tensor);
/* Name of the i-th output of the last run, NULL past the end. [session-thread] */
ORR_API const char* orr_session_output_name(orr_session* session, uint32_t index);

/* The same run in the background: starts it and returns. At most one run of a session at a time (ORR_BUSY).
 * [session-thread] */
ORR_API orr_status orr_session_start(orr_session* session, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs,
                                     uint32_t output_count, const char* const* outputs);
/* The same run, driven by the caller: sets it up, does nothing until orr_session_step. [session-thread] */
ORR_API orr_status orr_session_begin(orr_session* session, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs,
                                     uint32_t output_count, const char* const* outputs);
/* Works on the begun run for about budget_ns (at least one node; 0: to the end). *done tells whether it ended; the
 * status is the run's when it did. [session-thread] */
ORR_API orr_status orr_session_step(orr_session* session, uint64_t budget_ns, bool* done);
/* Whether the started run has ended; its status when it has. [any-thread] */
ORR_API orr_status orr_session_poll(orr_session* session, bool* done);
/* Waits for it, at most timeout_ns (UINT64_MAX: for ever). [any-thread] */
ORR_API orr_status orr_session_wait(orr_session* session, uint64_t timeout_ns, bool* done);
/* A paused run holds at the next node until resumed. [any-thread] */
ORR_API void orr_session_pause(orr_session* session, bool paused);
ORR_API void orr_session_set_priority(orr_session* session, int32_t priority);
/* Ends the run under way, or the making of its plan, with ORR_CANCELLED; states are as before it. Without a run it does nothing. [any-thread] */
ORR_API void orr_session_cancel(orr_session* session);

/* One run over several sessions of one model and options: sequence i is session i; each gives the bits it would give alone (on devices what it would but
 * for rounding: kernels for more rows add up in another order). Input axis 0 is the sum of the sessions' batches; outputs are read from sessions[0]. [session-thread] */
ORR_API orr_status orr_session_run_batch(uint32_t session_count, orr_session* const* sessions, const char* entry, uint32_t input_count,
                                         const orr_named_tensor* const* inputs, uint32_t output_count, const char* const* outputs);

/* Tokens consumed so far. [session-thread] */
ORR_API int64_t orr_session_position(orr_session* session);
/* A second session with the same past; states are shared until either writes. [session-thread] */
ORR_API orr_status orr_session_fork(orr_session* session, orr_session** fork);
/* Remembers this position: recurrent states can return to marks alone, append states to any position that their
 * window still holds. [session-thread] */
ORR_API orr_status orr_session_mark(orr_session* session);
/* Back to an earlier position. ORR_LIMIT with the reason when a state cannot. [session-thread] */
ORR_API orr_status orr_session_rollback(orr_session* session, int64_t position);
/* Position 0, states empty, marks forgotten. [session-thread] */
ORR_API orr_status orr_session_reset(orr_session* session);
/* States to and from a file, those that only earlier values of the controls had too: whatever the controls are when it is loaded, the session goes on as the one
 * that was saved would with them. Load needs the same model, cache type and batch (checked). [session-thread] */
ORR_API orr_status orr_session_save(orr_session* session, const char* path);
ORR_API orr_status orr_session_load(orr_session* session, const char* path);
/* Gives back plans, free pages and workspaces. [session-thread] */
ORR_API orr_status orr_session_trim(orr_session* session);
/* Plans, packs weights and touches memory for runs of `tokens` tokens of an entry, so that the first is as fast as the
 * second. [session-thread] */
ORR_API orr_status orr_session_warm_up(orr_session* session, const char* entry, int64_t tokens);
/* One thing to do with the named values of the model that fit a pattern: read them, or put something else in their place. */
typedef struct orr_tap {
    orr_header header;
    /* Path of values (orr_model_describe "values"); * stands for any text without a dot: "layers.*.mixer.output". */
    const char* path;
    /* "read", "zero", "set" …: orr_engine_describe "taps". NULL: "read". */
    const char* kind;
    double factor; /* of kinds that take one: "scale", "add" */
    int64_t count; /* "top_k" */
    /* Of kinds that take one ("set", "add"): f32, the value's shape or one that broadcasts to it. Copied. */
    const orr_named_tensor* operand;
    /* Tokens [first, end) that it applies to, counted from the sequence's start (of values without a past: along the axis of
     * tokens); end 0: to the last. */
    int64_t first_position, end_position;
    /* Runs [first, end) that it applies to, counted since the taps were set; end 0: no end. */
    int64_t first_run, end_run;
} orr_tap;
/* The taps of all runs to come, in the order in which they apply; replaces those set before; count 0: none, and nothing is
 * left of them. What is read becomes outputs of each run: named as the value, other kinds than "read" with ":kind" behind it,
 * and ".output" where there are several ("logits:top_k.indices"). It is what the rest of the model sees, edits of taps before it
 * included; PATH.untapped names an edited value as it was. ORR_NOT_FOUND where no entry has a value of the path. Forks inherit
 * taps; sessions stepped together must have the same. [session-thread] */
ORR_API orr_status orr_session_set_taps(orr_session* session, uint32_t count, const orr_tap* const* taps);
/* Run-time knobs of the model (orr_model_describe "controls"); value as JSON, NULL: the neutral one. The next run is planned
 * with it; nothing is loaded again. States of layers that earlier runs of this sequence left out lack these tokens: using them
 * needs a rollback or a reset (ORR_INVALID_ARGUMENT says so). Forks inherit controls. [session-thread] */
ORR_API orr_status orr_session_set_control(orr_session* session, const char* name, const char* value_json);
/* What a control's value may take. */
typedef struct orr_fit {
    orr_header header;
    /* At most; 0: any. At least one is wanted. */
    uint64_t memory_bytes; /* the model's packed weights, and states, workspace and plans of this session: a prompt in chunks of at most 512 tokens */
    uint64_t weight_bytes; /* of weight matrices that one run reads, as stored */
    uint64_t time_ns;      /* one run, measured: the median of five, from position 0, inputs all zero */
    const char* entry;     /* that is run; NULL: the default, for memory_bytes the one of its inputs that needs least */
    int64_t tokens;        /* of a run, in each sequence; 0: 1 */
    /* Values to choose from, as JSON, each taking less than the one before. 0: the control's own, its "ladder" in orr_model_describe "controls". */
    uint32_t value_count;
    const char* const* values;
} orr_fit;
/* Sets a control to the first of its values with which the session stays within all limits, found by bisection: each that is tried is planned,
 * and run where a time is wanted, in a session of its own. *report, where wanted, is JSON: "control", "value", what it takes ("memory_bytes",
 * "weight_bytes", "time_ns", where they were looked at), "tried" (the same of each, and whether it "fits") and "refused" (values of the ladder that
 * the model cannot be built with). ORR_LIMIT where none fits, with what the last one takes: the control stays as it was. orr_session_cancel ends it.
 * [session-thread] */
ORR_API orr_status orr_session_fit_control(orr_session* session, const char* name, const orr_fit* limits, orr_text** report);
/* JSON about `what`: "plan" (node, kernel, variant, refusals of better ones), "memory" (peak, states, weights),
 * "rewrites", "profile", "states", "work" (what ran: see taps_and_controls.md). [session-thread] */
ORR_API orr_status orr_session_describe(orr_session* session, const char* what, const char* entry, orr_text** json);

/* ---------------------------------------------------------------- adapters */

/* Reads an adapter (LoRA) for a model that is open: a folder as PEFT writes it, adapter_config.json and adapter_model.safetensors. Of options
 * path, io and blobs count. Every tensor must belong to a weight of the model and fit it: errors name file, tensor and both shapes. Its tensors
 * take memory beside the model's, which stays as it is, and are given back once the adapter and the sessions that use it are released. [any-thread] */
ORR_API orr_status orr_adapter_open(orr_model* model, const orr_model_options* options, orr_adapter** adapter);
ORR_API void orr_adapter_release(orr_adapter* adapter);
/* JSON: "kind", "path", "bytes", "modules" [{"module", "tensor", "rank", "factor"}]. [any-thread] */
ORR_API orr_status orr_adapter_describe(orr_adapter* adapter, orr_text** json);

enum { ORR_ADAPTERS_KEEP_STATES = 1 };
/* The adapters of all runs to come, each times its scale (scales NULL: 1 each), added up in this order; replaces those set before; count 0: none. Those
 * with scale 0 take no part, and nothing is left of them. Another scale alone, unless it is or was 0, needs no new plan. What states hold was computed with the adapters
 * of its time: a session that holds tokens refuses others (ORR_INVALID_ARGUMENT), unless it is reset first, or flags say
 * ORR_ADAPTERS_KEEP_STATES: go on from these states as they are. Forks inherit adapters; sessions stepped together must have the same. Not
 * part of what orr_session_save writes. [session-thread] */
ORR_API orr_status orr_session_set_adapters(orr_session* session, uint32_t count, orr_adapter* const* adapters, const double* scales, uint32_t flags);

/* ---------------------------------------------------------------- tasks */

/* What a task tells while it works. kind: "token" (id, text piece), "logits" (tensor: f32 [V], the callback may write
 * it), "text", "tensor", "done" (text: a JSON summary). Valid during the callback. */
typedef struct orr_event {
    orr_header header;
    const char* kind;
    const char* name;
    const char* text;
    uint64_t text_size;
    int64_t id;
    orr_named_tensor* tensor;
    float* logits; /* kind "logits": tensor's data, writable */
} orr_event;
/* Return false to stop: what came so far stands, and the call returns ORR_OK for a stop after a "token". */
typedef bool (*orr_event_fn)(void* user, const orr_event* event);

/* A task of a model ("text_generation", "embedding"; NULL: its first) on a session, or on one that it makes itself
 * (session NULL). The task's plugin defines what requests it takes: orr_engine_describe(engine, "tasks").
 * [any-thread] */
ORR_API orr_status orr_task_create(orr_model* model, const char* task, orr_session* session, orr_task** out);
ORR_API void orr_task_release(orr_task* task);
/* Does one request. request_json as the task documents, e.g. text generation: {"prompt": "…" | "ids": […] | "messages":
 * […], "max_tokens": 64, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0, "repetition_penalty": 1,
 * "presence_penalty": 0, "frequency_penalty": 0, "seed": 1, "stop": ["…"], "logit_bias": {"123": -5}, "logits_events":
 * false}. *result (may be NULL) receives a JSON object. cancel: orr_task_cancel. [session-thread] */
ORR_API orr_status orr_task_run(orr_task* task, const char* request_json, orr_event_fn on_event, void* user, orr_text** result);
ORR_API void orr_task_cancel(orr_task* task); /* [any-thread] */

#ifdef __cplusplus
}
#endif
#endif
