/* Orrery plugin API. A plugin exports one symbol, orr_plugin_entry, links no engine symbol, and is told everything
 * through tables. It keeps no reference to a host outside the call or object that brought it: two engines in one
 * process share the plugin's code and statics. See base.h for the rules of the ABI.
 *
 * Threads. Descriptors are immutable and read from any thread. orr_kernel.prepare is called by one thread at a time for
 * one plan, .run by one thread at a time for one node of a plan; by several threads at once for different plans, and .run
 * also for nodes of one plan that are concurrent (orr_builder.begin_concurrent). */
#ifndef ORRERY_PLUGIN_H
#define ORRERY_PLUGIN_H

#include "orrery/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- host and plugin */

typedef struct orr_host orr_host;
/* Given by the engine. Every member may be called on any thread. */
struct orr_host {
    orr_header header;
    /* An engine table by id ("orr.host_api/1", see ext/tasks.h), or NULL. Owned by the engine. */
    const void* (*get_extension)(const orr_host* host, const char* id);
    /* The host application's allocator. alignment is a power of two. NULL when refused. */
    void* (*allocate)(const orr_host* host, size_t bytes, size_t alignment);
    void (*release)(const orr_host* host, void* memory, size_t bytes, size_t alignment);
    /* level: ORR_LOG_*. text is copied. */
    void (*log)(const orr_host* host, int32_t level, const char* text);
    /* Records the text of a failure for this thread and returns `code`, so that `return host->fail(host, …)` works. */
    orr_status (*fail)(const orr_host* host, orr_status code, const char* text);
};

/* Returned by the entry; static storage, valid while the plugin is loaded. */
typedef struct orr_plugin {
    orr_header header;
    const char* id;        /* "orr.core" */
    const char* version;   /* "1.0.0" */
    const char* licence;   /* SPDX expression */
    const char* sanitizer; /* "" | "address" | "thread" …: ORR_SANITIZER; must equal the engine's */
    /* A table by id ("orr.operators/1", …) or NULL. */
    const void* (*get_extension)(const char* id);
} orr_plugin;

typedef const orr_plugin* (*orr_plugin_entry_fn)(const orr_host* host);
/* The one exported symbol. Returns NULL after host->fail() when the plugin cannot work here. A statically linked
 * plugin has it renamed at compile time: -Dorr_plugin_entry=orr_plugin_entry_<name>. */
ORR_EXPORT const orr_plugin* orr_plugin_entry(const orr_host* host);

#if defined(__SANITIZE_ADDRESS__)
#define ORR_SANITIZER "address"
#elif defined(__SANITIZE_THREAD__)
#define ORR_SANITIZER "thread"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ORR_SANITIZER "address"
#elif __has_feature(thread_sanitizer)
#define ORR_SANITIZER "thread"
#else
#define ORR_SANITIZER ""
#endif
#else
#define ORR_SANITIZER ""
#endif

/* ---------------------------------------------------------------- tensors */

/* Layout ids are strings. "" is plain strided storage. A kernel's prepack makes layouts of its own. Two are the
 * engine's, for states: */
#define ORR_LAYOUT_PLAIN ""
/* data is `const orr_paged* const*`, one per batch row; logical shape [B, S, Hkv, D]. */
#define ORR_LAYOUT_PAGED "paged"
/* data is `void* const*`, one contiguous plain row per batch row; logical shape [B, …]. */
#define ORR_LAYOUT_ROWS "rows"

typedef struct orr_tensor {
    orr_header header;
    uint32_t type; /* ORR_TYPE_* or an engine's number of a block type */
    int32_t rank;
    const char* type_id; /* "f32", "q4_k" … */
    const char* layout;  /* interned by the engine: equal layouts have equal pointers; never NULL */
    int64_t shape[ORR_MAX_RANK];
    int64_t stride_bytes[ORR_MAX_RANK]; /* any, the last axis's too: `supports` says what a kernel takes; of block types the last entry is block_bytes */
    uint32_t block_elems;               /* 1 for plain scalars */
    uint32_t block_bytes;
    void* data; /* host memory; NULL while a plan is made, unless the tensor is constant and its port is no WEIGHT */
    uint64_t size_bytes;
    void* buffer; /* device memory, of a device's extension; NULL on the CPU */
    uint64_t offset;
    uint32_t flags; /* ORR_TENSOR_* */
} orr_tensor;
enum { ORR_TENSOR_CONSTANT = 1 };

/* One sequence's append state. Page p holds tokens [p*page_tokens, (p+1)*page_tokens) as [Hkv][page_tokens][D]
 * elements of the tensor's type. Pages wholly before `first` may be NULL (dropped by a window). */
typedef struct orr_paged {
    orr_header header;
    void* const* pages;
    int64_t past;   /* tokens before this run */
    int64_t length; /* past + the tokens that this run appends */
    int64_t first;  /* earliest token kept */
    int32_t page_tokens;
} orr_paged;

/* ---------------------------------------------------------------- symbolic dimensions */

/* >= 0: a constant. < 0: a handle to an expression over symbols (B, T …) of the graph under construction. */
typedef int64_t orr_dim;

typedef struct orr_dims orr_dims;
/* Arithmetic that folds constants. Results are valid as long as the graph. */
struct orr_dims {
    orr_header header;
    orr_dim (*add)(const orr_dims* d, orr_dim a, orr_dim b);
    orr_dim (*sub)(const orr_dims* d, orr_dim a, orr_dim b);
    orr_dim (*mul)(const orr_dims* d, orr_dim a, orr_dim b);
    orr_dim (*div)(const orr_dims* d, orr_dim a, orr_dim b); /* floor; b > 0 */
    /* 1: equal for every binding; 0: known to differ; -1: known only when bound (the engine asks again then). */
    int32_t (*equal)(const orr_dims* d, orr_dim a, orr_dim b);
};

typedef struct orr_value_info {
    orr_header header;
    uint32_t type;
    int32_t rank;
    orr_dim dims[ORR_MAX_RANK];
    const char* type_id;
    const char* layout;
} orr_value_info;

/* ---------------------------------------------------------------- operators: "orr.operators/1" */

/* Attribute values of one node; defaults are filled in, so a declared name always answers. An undeclared name gives 0,
 * "", or an empty list. Pointers live as long as the node. */
typedef struct orr_attrs orr_attrs;
struct orr_attrs {
    orr_header header;
    int64_t (*get_int)(const orr_attrs* a, const char* name); /* booleans too */
    double (*get_float)(const orr_attrs* a, const char* name);
    const char* (*get_string)(const orr_attrs* a, const char* name);
    size_t (*get_ints)(const orr_attrs* a, const char* name, const int64_t** values);
    size_t (*get_floats)(const orr_attrs* a, const char* name, const double** values);
};

enum { ORR_ATTR_INT = 1, ORR_ATTR_FLOAT = 2, ORR_ATTR_STRING = 3, ORR_ATTR_INTS = 4, ORR_ATTR_FLOATS = 5, ORR_ATTR_BOOL = 6 };

typedef struct orr_attr_desc {
    orr_header header;
    const char* name;
    uint32_t kind;
    const char* default_json; /* NULL: required */
    const char* doc;          /* meaning and unit */
    /* What it may be, or NULL: anything of its kind. Of numbers, and of each element of a list, an interval: "[1, 64]", or "(0, inf)", where a
     * round bracket leaves the end out and inf is no end at all; of strings the words: "none|silu|gelu". Other values are refused before the
     * shape function is asked, which refuses what depends on shapes and on other attributes. */
    const char* range;
    uint32_t least, most; /* elements of a list, both included; most 0: any number */
} orr_attr_desc;

/* An axis as descriptors tell it: k counts from 0, or from -1, the last, backwards. 0 stays free for "not told". */
#define ORR_AXIS(k) ((k) < 0 ? (k) : (k) + 1)

enum {
    ORR_PORT_OPTIONAL = 1,
    ORR_PORT_VARIADIC = 2,
    ORR_PORT_WEIGHT = 4, /* usually constant */
    /* Integers, each the number of a row of the next input, which must have all of them. Where the host gives them with a run to a device, the
     * engine looks at them before it; those that are only on the device the kernel refuses (ext/vulkan.h, orr_vulkan_fault). */
    ORR_PORT_INDICES = 8
};

typedef struct orr_port {
    orr_header header;
    const char* name;
    uint32_t flags;    /* VARIADIC: the last port, one or more values */
    const char* types; /* space-separated type ids that the definition takes, "*" for any */
    const char* doc;   /* shape and meaning, "[B, T, E]" */
    /* Layouts that the definition takes, space-separated, "plain" among them for ORR_LAYOUT_PLAIN: "paged", "plain paged". NULL: plain alone,
     * or of an operator written before this member, not told. */
    const char* layouts;
    /* Of an output: the axis along which the tokens of a run lie, ORR_AXIS(2) of [B, H, T, S]; of a VARIADIC one, of each of its values. Taps at
     * some positions, `last` and `mean` go along it. 0: not told, as always of inputs. An output that lacks the axis is refused. */
    int32_t token_axis;
} orr_port;

/* What rewrites may know of an operator without knowing its id. */
enum {
    ORR_TRAIT_ELEMENTWISE = 1, /* output[i] from input[i] with broadcasting; provides elementwise() */
    ORR_TRAIT_LINEAR = 2,      /* y = x W^T (+ b): inputs x, w, b? */
    ORR_TRAIT_NORM = 4,        /* normalises the last axis; input 1 is a scale */
    ORR_TRAIT_VIEW = 8,        /* output is a strided view of input 0; provides view() */
    ORR_TRAIT_STATEFUL = 16,   /* touches a state: never folded, merged or removed */
    ORR_TRAIT_COPY = 32        /* output = input 0, contiguous: what the engine runs to make a strided value so */
};

/* What a shape function sees. Inputs that are absent are NULL. Types and dims of outputs are written by it; rank, dims
 * and type of each output start as 0. */
typedef struct orr_infer {
    orr_header header;
    const orr_host* host;
    const orr_dims* dims;
    const orr_attrs* attrs;
    uint32_t n_inputs, n_outputs;
    const orr_value_info* const* inputs;
    orr_value_info* const* outputs;
} orr_infer;

typedef struct orr_builder orr_builder;
typedef uint32_t orr_value; /* 0: none */

/* What a kernel is asked about before and while a plan is made. Shapes are bound. */
typedef struct orr_prepare orr_prepare;
typedef void (*orr_chunk_fn)(void* arg, int64_t chunk, uint32_t thread);

/* Asks the engine to store a constant input in another layout. Cached per (tensor, layout): plans that ask for the
 * same layout share it, and the source's pages are released. */
typedef struct orr_pack {
    orr_header header;
    const char* layout;   /* unique to the kernel family and its parameters */
    uint64_t bytes;       /* of the packed form */
    uint64_t alignment;   /* power of two */
    int64_t chunks;       /* independent parts, packed in parallel */
    /* Packs one part. src is the source tensor (plain layout, host memory). */
    void (*pack)(const orr_tensor* src, void* dst, int64_t chunk);
} orr_pack;

struct orr_prepare {
    orr_header header;
    const orr_host* host;
    const orr_attrs* attrs;
    uint32_t n_inputs, n_outputs;
    const orr_tensor* const* inputs; /* absent: NULL */
    const orr_tensor* const* outputs;
    uint32_t isa;      /* the best that may be used: ORR_ISA_* */
    uint32_t threads;  /* workers that run may see; thread < threads */
    uint32_t numerics; /* ORR_NUMERICS_* */
    /* --- below: only valid in prepare, not in supports --- */
    /* Scratch that run gets in orr_run.workspace: 64-byte aligned, shared with other nodes, not kept. */
    void (*workspace)(orr_prepare* p, uint64_t bytes);
    /* Zeroed memory that lives as long as the plan; its first block is orr_run.data. NULL when refused. */
    void* (*plan_memory)(orr_prepare* p, uint64_t bytes);
    /* See orr_pack. After it, run's inputs[input]->data is the packed form and ->layout is its layout. */
    orr_status (*prepack)(orr_prepare* p, uint32_t input, const orr_pack* pack);
    /* Names the code path chosen ("avx512_vnni"); shown by inspect, asserted by tests. Copied. */
    void (*variant)(orr_prepare* p, const char* name);
    /* --- valid in both --- */
    const void* device; /* of a device's extension (ext/vulkan.h); NULL on the CPU */
};

typedef struct orr_run orr_run;
struct orr_run {
    orr_header header;
    const orr_host* host;
    const orr_attrs* attrs;
    void* data; /* first plan_memory block, or NULL */
    void* workspace;
    uint32_t n_inputs, n_outputs;
    const orr_tensor* const* inputs;
    const orr_tensor* const* outputs; /* data is writable */
    uint32_t threads;
    /* Calls fn(arg, 0 … chunks-1, thread) on up to `threads` threads and returns when all are done. Chunks are handed
     * out in order. Not to be nested. */
    void (*parallel_for)(const orr_run* run, int64_t chunks, orr_chunk_fn fn, void* arg);
    const void* device; /* of a device's extension (ext/vulkan.h); NULL on the CPU */
};

enum { ORR_KERNEL_REFERENCE = 1 /* the definition itself: plain loops */ };

/* One input of a self-test's node; rank, type and layout are the real node's. */
typedef struct orr_test_input {
    orr_header header;
    int64_t shape[ORR_MAX_RANK]; /* at first the real node's */
    double low, high;            /* numbers lie evenly between; whole ones include both. At first -1 and 1 */
    int64_t past, length;        /* of layout "paged", in tokens: held before the run and after it. At first 0 and shape[1] */
} orr_test_input;

/* A small node on which the engine compares a device's kernel with the definition, before it trusts the device with it. */
typedef struct orr_self_test {
    orr_header header;
    uint32_t n_inputs;
    orr_test_input* const* inputs; /* absent: NULL */
    /* abs(got - want) <= tolerance * max(rms of all, abs(want)). At first what the numerics allow: 1e-4 exact, 1e-2 default, 3e-2 fast. */
    double tolerance;
} orr_self_test;

typedef struct orr_kernel {
    orr_header header;
    const char* name;   /* "cpu", "reference": unique within the operator and device */
    const char* device; /* "cpu", "vulkan" */
    uint32_t flags;     /* ORR_KERNEL_* */
    /* Whether this kernel takes these types, layouts and shapes; else writes why not. p's callbacks are not callable.
     * NULL: everything that the ports allow. */
    bool (*supports)(const orr_prepare* p, char* reason, size_t reason_size);
    /* Once per plan. NULL: nothing to prepare. */
    orr_status (*prepare)(orr_prepare* p);
    /* Fails only for what data alone can show (a token id outside the vocabulary); a device's, which records, has its shaders tell. */
    orr_status (*run)(const orr_run* run);
    /* Of a device's kernel of an operator with a reference kernel, or NULL: makes the real node small. The i-th test takes the
     * node's way through the kernel: its shaders and, where size allows, its specialisation constants; attributes, types and
     * numerics are the node's. False past the last, the 64th at most. There is no data. Not for layout "rows". */
    bool (*self_test)(const orr_prepare* node, uint32_t i, orr_self_test* test);
} orr_kernel;

/* One elementwise step over a contiguous stretch, for fused chains on the processor (on devices: ext/expression.h):
 * dst[i] = f(src0[i], src1[i] …), n elements f32.
 * dst may equal any src. attrs as the node's. */
typedef void (*orr_elementwise_fn)(const orr_attrs* attrs, const float* const* src, float* dst, int64_t n);

typedef struct orr_operator {
    orr_header header;
    const char* id;      /* "orr.rms_norm/1": the number grows when meaning changes */
    const char* summary; /* one line: formula and source */
    uint32_t traits;
    uint32_t n_inputs, n_outputs, n_attrs, n_kernels;
    const orr_port* const* inputs;
    const orr_port* const* outputs;
    const orr_attr_desc* const* attrs;
    const orr_kernel* const* kernels; /* best first, reference last */
    /* Shape function. Works on symbolic and on bound dimensions alike. */
    orr_status (*infer)(const orr_infer* i);
    /* The operator in terms of smaller ones, or NULL. outputs[] receives n_outputs values. */
    orr_status (*decompose)(orr_builder* b, const orr_attrs* attrs, uint32_t n_inputs, const orr_value* inputs, orr_value* outputs);
    /* Floating-point operations of one run with these bound shapes, or NULL for negligible. */
    uint64_t (*flops)(const orr_prepare* p);
    orr_elementwise_fn elementwise; /* with ORR_TRAIT_ELEMENTWISE */
    /* With ORR_TRAIT_VIEW: fills out's shape, strides and byte offset relative to input 0 (out->offset).
     * Returns false when these strides need a copy; then a kernel runs. */
    bool (*view)(const orr_prepare* p, orr_tensor* out);
} orr_operator;

typedef struct orr_operators {
    orr_header header;
    uint32_t count;
    const orr_operator* const* items;
} orr_operators;
#define ORR_EXT_OPERATORS "orr.operators/1"

/* ---------------------------------------------------------------- block types: "orr.types/1" */

typedef struct orr_type {
    orr_header header;
    const char* id; /* "q4_k" */
    uint32_t block_elems;
    uint32_t block_bytes;
    /* The definition. elems is a multiple of block_elems. */
    void (*dequantise)(const void* src, float* dst, int64_t elems);
    void (*quantise)(const float* src, void* dst, int64_t elems); /* or NULL */
} orr_type;

typedef struct orr_types {
    orr_header header;
    uint32_t count;
    const orr_type* const* items;
} orr_types;
#define ORR_EXT_TYPES "orr.types/1"

/* ---------------------------------------------------------------- formats: "orr.formats/1" */

/* Bytes of one model: files in a folder, one file, memory, or the host's I/O. Names are relative UTF-8 paths with '/';
 * the single file of a one-file model is named "". Any thread. */
typedef struct orr_files orr_files;
struct orr_files {
    orr_header header;
    const orr_host* host;
    /* Opens by name: a small number >= 0, or -1 when it does not exist. Names that leave the folder do not exist. */
    int32_t (*open)(const orr_files* f, const char* name);
    uint64_t (*size)(const orr_files* f, int32_t file);
    orr_status (*read)(const orr_files* f, int32_t file, uint64_t offset, uint64_t size, void* dst);
    /* The whole file in memory (mapped, or the host's), or NULL when only read() works. */
    const void* (*map)(const orr_files* f, int32_t file);
    const char* path; /* for messages only */
};

typedef struct orr_tensor_entry {
    orr_header header;
    const char* name;
    const char* type_id;
    int32_t rank;
    int64_t shape[ORR_MAX_RANK]; /* row-major, last axis contiguous */
    int32_t file;                /* as opened */
    uint64_t offset;
    uint64_t size_bytes;
} orr_tensor_entry;

/* An open checkpoint. Returned strings and arrays live until close. */
typedef struct orr_checkpoint orr_checkpoint;
struct orr_checkpoint {
    orr_header header;
    const char* format; /* "gguf", "safetensors" */
    /* Candidates for choosing an architecture, most specific first: "LlamaForCausalLM", "llama". NULL-terminated. */
    const char* const* architectures;
    /* JSON object. Hugging Face: config.json as it stands. GGUF: all keys; arrays of more than 64 elements left out. */
    const char* config_json;
    uint64_t tensor_count;
    const orr_tensor_entry* (*tensor)(const orr_checkpoint* c, uint64_t index);
    /* Metadata arrays that config_json leaves out; count 0 when absent or of another kind. */
    uint64_t (*get_strings)(const orr_checkpoint* c, const char* key, const char* const** values, const uint64_t** sizes);
    uint64_t (*get_floats)(const orr_checkpoint* c, const char* key, const float** values);
    uint64_t (*get_ints)(const orr_checkpoint* c, const char* key, const int64_t** values);
    void (*close)(orr_checkpoint* c);
};

typedef struct orr_format {
    orr_header header;
    const char* id;
    /* Told before the plugin is loaded, through the manifest: file-name endings (".gguf"), names in a folder
     * ("config.json"), first bytes in hex ("47475546"). Space-separated, "" for none. */
    const char* endings;
    const char* folder_files;
    const char* magic_hex;
    orr_status (*open)(const orr_files* files, orr_checkpoint** checkpoint);
} orr_format;

typedef struct orr_formats {
    orr_header header;
    uint32_t count;
    const orr_format* const* items;
} orr_formats;
#define ORR_EXT_FORMATS "orr.formats/1"

/* ---------------------------------------------------------------- models: "orr.models/1" */

/* What a model's configure and build may ask of the checkpoint. */
typedef struct orr_model_source {
    orr_header header;
    const orr_host* host;
    const orr_checkpoint* checkpoint;
    const orr_files* files; /* side files: generation_config.json, 1_Pooling/config.json … */
    /* NULL when there is no such tensor. */
    const orr_tensor_entry* (*find_tensor)(const struct orr_model_source* s, const char* name);
} orr_model_source;

enum {
    ORR_STATE_APPEND = 1,    /* rows per token, paged; optional window */
    ORR_STATE_RECURRENT = 2, /* fixed size per sequence, read and replaced each run; zero at first */
    ORR_STATE_FROZEN = 3     /* append state that one entry writes and others read; not advanced by them */
};

typedef struct orr_state_desc {
    orr_header header;
    const char* name;  /* "layers.0.mixer.k" */
    uint32_t kind;     /* ORR_STATE_* */
    uint32_t type;     /* RECURRENT: its type. APPEND and FROZEN: 0, the session's cache type */
    int32_t rank;      /* APPEND, FROZEN: 2, {Hkv, D}. RECURRENT: any, without B */
    int64_t dims[ORR_MAX_RANK];
    int64_t window;    /* APPEND: tokens that a query may see, itself included; 0: all */
} orr_state_desc;

/* OPTIONAL: when the host does not give it, the value is absent: an optional port sees none, and a node that needs it
 * yields absent values in turn. FILL_ZERO, FILL_ONE: when absent, a tensor of zeros or ones stands in. The host may give
 * any integer type for an integer input and any float type for a float input; the engine converts. */
enum { ORR_INPUT_OPTIONAL = 1, ORR_INPUT_FILL_ZERO = 2, ORR_INPUT_FILL_ONE = 4 };

/* Builds one entry of a model as a graph. The first failure is kept and told after build returns; calls after it
 * return 0 and do nothing, so a builder need not check each call. */
struct orr_builder {
    orr_header header;
    const orr_host* host;
    const orr_dims* dims;
    /* A named dimension, bound by the shapes of inputs: "B", "T". The same name gives the same dim. */
    orr_dim (*symbol)(orr_builder* b, const char* name);
    /* An input that the host gives by name. Optional ones that are absent become "none" at every use. */
    orr_value (*input)(orr_builder* b, const char* name, uint32_t type, int32_t rank, const orr_dim* dims, uint32_t flags);
    /* Absolute token positions [B, T] i32: what the session has consumed + 0…T-1, or the host's input `name` (NULL: none). */
    orr_value (*positions)(orr_builder* b, const char* name, orr_dim batch, orr_dim tokens);
    /* A checkpoint tensor. shape: expected, -1 for any size; a difference is an error with both shapes. */
    orr_value (*weight)(orr_builder* b, const char* name, int32_t rank, const int64_t* shape);
    /* One tensor [count, …] from `count` checkpoint tensors of equal shape and type (experts). shape: of one part. */
    orr_value (*weight_stack)(orr_builder* b, uint32_t count, const char* const* names, int32_t rank, const int64_t* shape);
    /* A constant made by the model (inverse frequencies). data is copied. */
    orr_value (*constant)(orr_builder* b, const char* name, uint32_t type, int32_t rank, const int64_t* shape, const void* data);
    /* Declares a state or finds it again (other entries of the same model name the same states). APPEND and FROZEN give
     * a value [B, S, Hkv, D] of layout "paged"; RECURRENT gives [B, …] of layout "rows". `append`: tokens that a run of
     * this entry adds (T), 0 when it only reads. */
    orr_value (*state)(orr_builder* b, const orr_state_desc* desc, orr_dim batch, orr_dim append);
    /* Makes `value` (layout "rows") the recurrent state's content after the run. */
    void (*set_state)(orr_builder* b, const char* name, orr_value value);
    /* A run of this entry moves the sequence by `tokens`. Entries that do not call it leave the position alone. */
    void (*advance)(orr_builder* b, orr_dim tokens);
    /* One node. attrs_json: an object or NULL. Outputs are written to outs[0 … n_outs-1]. Absent inputs are 0. */
    void (*node)(orr_builder* b, const char* op_id, const char* attrs_json, uint32_t n_ins, const orr_value* ins, uint32_t n_outs, orr_value* outs);
    /* Gives a value its stable path, "layers.3.mixer.scores". */
    void (*name)(orr_builder* b, orr_value value, const char* path);
    void (*output)(orr_builder* b, const char* name, orr_value value);
    /* Type, rank and dims of a value; false when it is 0. */
    bool (*info)(orr_builder* b, orr_value value, orr_value_info* info);
    /* Stops the build with a message. */
    void (*fail)(orr_builder* b, orr_status code, const char* text);
    /* Of one of the model's controls: its value as JSON, valid while building; NULL where it is neutral. Not in a decomposition. */
    const char* (*control)(orr_builder* b, const char* name);
    /* Nodes built from here to end_if run only where `flag`, one element of any plain type, is not zero (`otherwise`: is zero); pairs may stand
     * inside one another. What they give holds nothing of meaning where they did not run: choose with orr.where/1 behind end_if. Append states
     * can be written inside, each by one of several such pairs of which a run takes exactly one; recurrent states cannot. */
    void (*begin_if)(orr_builder* b, orr_value flag, bool otherwise);
    void (*end_if)(orr_builder* b);
    /* A tensor of a file beside the checkpoint, as f32 constant: `path` is what a control of the model holds (routers, adapters). shape as for
     * weight. 0, and no failure, where the file has no such tensor. */
    orr_value (*file_tensor)(orr_builder* b, const char* path, const char* name, int32_t rank, const int64_t* shape);
    /* Nodes built from here to end_concurrent may run at the same time where none reads what another gives: branches that are worth it, such as
     * layers side by side. What they give is the same. Pairs inside one another are one. */
    void (*begin_concurrent)(orr_builder* b);
    void (*end_concurrent)(orr_builder* b);
};

/* What a model says of itself once configured; strings live until destroy. */
typedef struct orr_model_info {
    orr_header header;
    const char* const* entries;       /* NULL-terminated, the default first: "forward", "next" */
    const char* const* tasks;         /* NULL-terminated: "text_generation", "embedding"; may be empty */
    int64_t context_length;           /* longest sequence in tokens, 0: none */
    int64_t vocabulary;               /* 0: none */
    const char* info_json;            /* object: sizes for people (layers, heads …), ignored keys */
    /* Names of checkpoint tensors that the model has no use for, NULL-terminated, or NULL; * stands for any text. One that
     * is neither used nor named here makes opening fail, unless the host allows it. */
    const char* const* ignored_tensors;
    /* Run-time knobs: [{"name": "layer_plan", "type": "string", "default": "…" (the neutral value), "meaning": "…", and where they
     * apply "minimum", "maximum"}, …], or NULL. build asks for their values (orr_builder.control). */
    const char* controls_json;
} orr_model_info;

typedef struct orr_model_arch {
    orr_header header;
    const char* id; /* "llama" */
    const char* summary;
    /* NULL-terminated lists of names as checkpoints give them. */
    const char* const* architectures;      /* "LlamaForCausalLM" */
    const char* const* gguf_architectures; /* "llama" */
    const char* const* operators;          /* ids needed, NULL-terminated: decides which plugins are loaded */
    /* Reads and checks the configuration. On success *config is handed to the calls below, info filled. */
    orr_status (*configure)(const orr_model_source* source, void** config, orr_model_info* info);
    orr_status (*build)(void* config, const orr_model_source* source, const char* entry, orr_builder* b);
    void (*destroy)(void* config);
} orr_model_arch;

typedef struct orr_models {
    orr_header header;
    uint32_t count;
    const orr_model_arch* const* items;
} orr_models;
#define ORR_EXT_MODELS "orr.models/1"

/* ---------------------------------------------------------------- rewrites: "orr.rewrites/1" */

/* A graph under rewriting. Node ids are stable until removed. */
typedef struct orr_graph_edit orr_graph_edit;
struct orr_graph_edit {
    orr_header header;
    const orr_host* host;
    uint32_t (*node_count)(const orr_graph_edit* g);                 /* ids are 0 … count-1, in execution order */
    const char* (*op)(const orr_graph_edit* g, uint32_t node);       /* NULL: removed */
    const orr_attrs* (*attrs)(const orr_graph_edit* g, uint32_t node);
    uint32_t (*inputs)(const orr_graph_edit* g, uint32_t node, const orr_value** values);
    uint32_t (*outputs)(const orr_graph_edit* g, uint32_t node, const orr_value** values);
    uint32_t (*uses)(const orr_graph_edit* g, orr_value value);      /* readers; graph outputs count */
    int64_t (*producer)(const orr_graph_edit* g, orr_value value);   /* node or -1 */
    bool (*is_constant)(const orr_graph_edit* g, orr_value value);
    bool (*info)(const orr_graph_edit* g, orr_value value, orr_value_info* info);
    /* Replaces `nodes` by one node that defines exactly `outs`, at the place of one of them. False (and nothing changed)
     * when something else still reads what would vanish, no place fits, or a shape would change. */
    bool (*replace)(orr_graph_edit* g, uint32_t n_nodes, const uint32_t* nodes, const char* op_id, const char* attrs_json, uint32_t n_ins,
                    const orr_value* ins, uint32_t n_outs, const orr_value* outs);
    /* A new constant: the one output of an operator over constants, computed when it is first needed. 0 when an input is
     * not constant or the operator has no reference kernel. */
    orr_value (*constant)(orr_graph_edit* g, const char* op_id, const char* attrs_json, uint32_t n_ins, const orr_value* ins);
};

typedef struct orr_rewrite {
    orr_header header;
    const char* id; /* "orr.merge_linear/1" */
    const char* summary;
    uint32_t numerics_mask; /* bit 1 << ORR_NUMERICS_*: where it may be applied */
    /* Applies itself everywhere; returns how often. */
    uint32_t (*apply)(orr_graph_edit* g);
    const char* devices; /* where it may be applied, "cpu vulkan"; NULL: everywhere */
} orr_rewrite;

typedef struct orr_rewrites {
    orr_header header;
    uint32_t count;
    const orr_rewrite* const* items;
} orr_rewrites;
#define ORR_EXT_REWRITES "orr.rewrites/1"

/* ---------------------------------------------------------------- tokenisers: "orr.tokenizers/1" */

/* An open tokeniser; immutable, any thread. Results are written through emit callbacks: no ownership crosses. */
typedef struct orr_tokenizer orr_tokenizer;
typedef void (*orr_emit_ids)(void* user, const int32_t* ids, uint64_t count);
typedef void (*orr_emit_text)(void* user, const char* text, uint64_t size);

enum { ORR_TOKENIZE_ADD_SPECIAL = 1 };
enum { ORR_DETOKENIZE_SKIP_SPECIAL = 1 };

struct orr_tokenizer {
    orr_header header;
    const orr_host* host;
    int64_t vocabulary;
    /* Special ids, -1 when absent. eog: every id that ends generation. */
    int32_t bos, eos, pad, unk;
    uint32_t n_eog;
    const int32_t* eog;
    const char* info_json; /* object: kind, normaliser, pre-tokeniser … for people */
    orr_status (*encode)(const orr_tokenizer* t, const char* text, uint64_t size, uint32_t flags, orr_emit_ids emit, void* user);
    orr_status (*decode)(const orr_tokenizer* t, const int32_t* ids, uint64_t count, uint32_t flags, orr_emit_text emit, void* user);
    /* Streaming: feed ids one by one; only whole UTF-8 characters are emitted; finish flushes. */
    orr_status (*stream_open)(const orr_tokenizer* t, uint32_t flags, void** stream);
    orr_status (*stream_put)(void* stream, int32_t id, orr_emit_text emit, void* user);
    orr_status (*stream_finish)(void* stream, orr_emit_text emit, void* user);
    void (*stream_close)(void* stream);
    /* The id of a token's exact text, or -1. */
    int32_t (*token_id)(const orr_tokenizer* t, const char* text, uint64_t size);
    /* The chat template over messages_json ([{"role", "content"}…]); options_json: {"add_generation_prompt": true,
     * "tools": […], …} or NULL. ORR_NOT_FOUND when the checkpoint has none. */
    orr_status (*chat)(const orr_tokenizer* t, const char* messages_json, const char* options_json, orr_emit_text emit, void* user);
    void (*close)(orr_tokenizer* t);
};

typedef struct orr_tokenizer_kind {
    orr_header header;
    const char* id;
    /* Whether it can read this checkpoint's vocabulary. checkpoint is NULL for a folder with a tokenizer.json alone. */
    bool (*probe)(const orr_files* files, const orr_checkpoint* checkpoint);
    orr_status (*open)(const orr_files* files, const orr_checkpoint* checkpoint, orr_tokenizer** tokenizer);
} orr_tokenizer_kind;

typedef struct orr_tokenizers {
    orr_header header;
    uint32_t count;
    const orr_tokenizer_kind* const* items;
} orr_tokenizers;
#define ORR_EXT_TOKENIZERS "orr.tokenizers/1"

#ifdef __cplusplus
}
#endif
#endif
