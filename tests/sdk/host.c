/* host MODEL [PLUGIN_FOLDER]: runs a model on two rows of ones and twos, prints what it gives. With LINKED_ENTRY defined
 * it adds the plugin that is linked into it. */
#include <orrery/orrery.h>
#include <stdio.h>

#ifdef LINKED_ENTRY
const struct orr_plugin* LINKED_ENTRY(const struct orr_host* host);
#endif

static int failed(const char* what) {
    fprintf(stderr, "%s: %s\n", what, orr_error_text());
    return 1;
}

int main(int argc, char** argv) {
    const char* folders[2] = {NULL, NULL};
    orr_engine_options engine_options = {ORR_HEADER(orr_engine_options)};
    orr_model_options model_options = {ORR_HEADER(orr_model_options)};
    const float x[8] = {1, 1, 1, 1, 2, 2, 2, 2};
    orr_named_tensor in = {ORR_HEADER(orr_named_tensor)}, out = {ORR_HEADER(orr_named_tensor)};
    const orr_named_tensor* ins[1];
    orr_engine* engine = NULL;
    orr_model* model = NULL;
    orr_session* session = NULL;
    int i;
    if (argc < 2) return 2;
    if (argc > 2) folders[0] = argv[2];
    engine_options.plugin_dirs = folders;
    model_options.path = argv[1];
    if (orr_engine_create(&engine_options, &engine)) return failed("engine");
#ifdef LINKED_ENTRY
    if (orr_engine_add_plugin(engine, LINKED_ENTRY)) return failed("plugin");
#endif
    if (orr_model_open(engine, &model_options, &model)) return failed("model");
    if (orr_session_create(model, NULL, &session)) return failed("session");
    in.name = "x";
    in.type = ORR_TYPE_F32;
    in.rank = 2;
    in.shape[0] = 2;
    in.shape[1] = 4;
    in.data = x;
    in.size_bytes = sizeof x;
    ins[0] = &in;
    if (orr_session_run(session, NULL, 1, ins, 0, NULL)) return failed("run");
    if (orr_session_output(session, "y", &out)) return failed("output");
    for (i = 0; i < 8; i++) printf(i ? " %g" : "%g", ((const float*)out.data)[i]);
    printf("\n");
    orr_session_release(session);
    orr_model_release(model);
    orr_engine_release(engine);
    return 0;
}
