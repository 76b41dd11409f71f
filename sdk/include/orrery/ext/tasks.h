/* Orrery plugin API: tasks ("orr.tasks/1"). A task wraps a model's entries in what people want. It drives the engine
 * through the host API, which it gets as a table since a plugin links no engine symbol. */
#ifndef ORRERY_TASKS_H
#define ORRERY_TASKS_H

#include "orrery/orrery.h"
#include "orrery/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* host->get_extension(host, ORR_EXT_HOST_API). The functions are those of orrery.h. */
typedef struct orr_host_api {
    orr_header header;
    const char* (*error_text)(void);
    orr_status (*session_create)(orr_model*, const orr_session_options*, orr_session**);
    void (*session_release)(orr_session*);
    orr_status (*session_run)(orr_session*, const char*, uint32_t, const orr_named_tensor* const*, uint32_t, const char* const*);
    orr_status (*session_output)(orr_session*, const char*, orr_named_tensor*);
    void (*session_cancel)(orr_session*);
    int64_t (*session_position)(orr_session*);
    orr_status (*session_rollback)(orr_session*, int64_t);
    orr_status (*session_reset)(orr_session*);
    orr_status (*session_warm_up)(orr_session*, const char*, int64_t);
    orr_status (*model_describe)(orr_model*, const char*, const char*, orr_text**);
    const char* (*text_data)(const orr_text*);
    uint64_t (*text_size)(const orr_text*);
    void (*text_release)(orr_text*);
    /* A text owned by the caller, to be returned as a result. NULL when out of memory. */
    orr_text* (*text_create)(const char* data, uint64_t size);
    /* Borrowed, live as long as the model; NULL when it has none, and error_text says why. */
    const orr_tokenizer* (*model_tokenizer)(orr_model*);
    const orr_files* (*model_files)(orr_model*);
    const orr_model_info* (*model_info)(orr_model*);
    const orr_checkpoint* (*model_checkpoint)(orr_model*);
    /* Tokens that the session's states can hold. */
    int64_t (*session_context)(orr_session*);
    /* How often what the session's states hold was changed: by runs, rollbacks, resets, loads. Who keeps it knows whether
     * somebody else has moved the session since. */
    uint64_t (*session_changes)(orr_session*);
    orr_status (*session_set_control)(orr_session*, const char* name, const char* value_json);
    /* The value that a control was set to, owned by the caller; *value_json NULL: neutral. */
    orr_status (*session_control)(orr_session*, const char* name, orr_text** value_json);
} orr_host_api;
#define ORR_EXT_HOST_API "orr.host_api/1"

typedef struct orr_task_kind {
    orr_header header;
    const char* id; /* "text_generation" */
    const char* summary;
    const char* request_doc; /* fields of a request, for people */
    /* session may be NULL: the task makes its own. */
    orr_status (*create)(const orr_host* host, orr_model* model, orr_session* session, void** task);
    orr_status (*run)(void* task, const char* request_json, orr_event_fn on_event, void* user, orr_text** result);
    void (*cancel)(void* task); /* any thread */
    void (*destroy)(void* task);
} orr_task_kind;

typedef struct orr_tasks {
    orr_header header;
    uint32_t count;
    const orr_task_kind* const* items;
} orr_tasks;
#define ORR_EXT_TASKS "orr.tasks/1"

#ifdef __cplusplus
}
#endif
#endif
