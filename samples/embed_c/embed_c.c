/* A host in C99: opens a model, streams an answer to the terminal, and cancels on Ctrl-C or after a number of tokens.
 *   embed_c MODEL "prompt" [max tokens [tokens until it cancels itself]] */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orrery/orrery.h"

static volatile sig_atomic_t interrupted = 0;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

typedef struct progress {
    long tokens;
    long cancel_after; /* 0: never */
} progress;

/* Runs on the thread that called orr_task_run. Returning false cancels. */
static bool on_event(void* user, const orr_event* event) {
    progress* p = (progress*)user;
    const int token = strcmp(event->kind, "token") == 0;
    if (token || strcmp(event->kind, "text") == 0) {
        fwrite(event->text, 1, (size_t)event->text_size, stdout);
        fflush(stdout);
    }
    p->tokens += token;
    return !interrupted && !(p->cancel_after && p->tokens >= p->cancel_after);
}

/* text as a JSON string in new memory. */
static char* json_quote(const char* text) {
    char* out = (char*)malloc(6 * strlen(text) + 3);
    char* at = out;
    if (!out) return NULL;
    *at++ = '"';
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') *at++ = '\\';
        if (c < 0x20)
            at += sprintf(at, "\\u%04x", (unsigned)c);
        else
            *at++ = (char)c;
    }
    *at++ = '"';
    *at = 0;
    return out;
}

static int failed(const char* what, orr_status status) {
    fprintf(stderr, "%s: %s: %s\n", what, orr_status_name(status), orr_error_text());
    return 1;
}

int main(int argc, char** argv) {
    orr_engine* engine = NULL;
    orr_model* model = NULL;
    orr_task* task = NULL;
    orr_text* result = NULL;
    orr_model_options options = {ORR_HEADER(orr_model_options), NULL, NULL, NULL, 0, NULL, NULL, NULL};
    progress p = {0, argc > 4 ? strtol(argv[4], NULL, 10) : 0};
    char *prompt = NULL, *request = NULL;
    orr_status status;
    int rc = 1;
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL PROMPT [MAX_TOKENS [CANCEL_AFTER]]\n", argv[0]);
        return 2;
    }
    signal(SIGINT, on_signal);
    options.path = argv[1];
    prompt = json_quote(argv[2]);
    request = prompt ? (char*)malloc(strlen(prompt) + 80) : NULL;
    if (!request) return 1;
    sprintf(request, "{\"prompt\": %s, \"max_tokens\": %ld, \"temperature\": 0}", prompt, argc > 3 ? strtol(argv[3], NULL, 10) : 64L);
    if ((status = orr_engine_create(NULL, &engine)) != ORR_OK)
        failed("engine", status);
    else if ((status = orr_model_open(engine, &options, &model)) != ORR_OK)
        failed(argv[1], status);
    else if ((status = orr_task_create(model, "text_generation", NULL, &task)) != ORR_OK)
        failed("task", status);
    else if ((status = orr_task_run(task, request, on_event, &p, &result)) != ORR_OK && status != ORR_CANCELLED)
        failed("run", status);
    else
        rc = 0;
    if (rc == 0) printf("\n");
    if (result) fprintf(stderr, "%s\n", orr_text_data(result));
    orr_text_release(result);
    orr_task_release(task);
    orr_model_release(model);
    orr_engine_release(engine);
    free(request);
    free(prompt);
    return rc;
}
