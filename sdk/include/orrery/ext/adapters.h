/* Ways in which an adapter's few tensors change a weight of a model that is there already: "orr.adapters/1". The engine reads the adapter's
 * folder (adapter_config.json, adapter_model.safetensors as PEFT writes them), finds the nodes that read the weights it is for, and lets the kind
 * build what takes the place of what each of them gives. That is done before rewrites and kernels are chosen, so adapters run wherever the
 * model does, beside any weight type, and a session without adapters has the plan of a model that never had any.
 *
 * Tensors of a checkpoint are found by the module names of adapters: as they are; as orr_model_info.info_json maps them, "modules": [{"module":
 * "model.layers.{}.self_attn.q_proj", "tensor": "blk.{}.attn_q", "interleaved_heads": 32}, …], where {} stands for a number (interleaved_heads:
 * rows of the checkpoint's weight are in another order, see orr_adapter_point); or by their common end, where that is one tensor's alone.
 * Further keys of such a mapping: "tied": true, the module is a head whose weight is another module's, an embedding's: adapters of the head are for
 * nodes with ORR_TRAIT_LINEAR, those of the embedding for the others. "member": true, the tensor is a stack, the module's last number its place there.
 * "parameter": "gate_up_proj", the module keeps its weights as one parameter of that name, and the tensor, or the stack of tensors that it is the
 * first of, has a share of its rows: "share": [0, 2], the first of two halves. */
#ifndef ORRERY_EXT_ADAPTERS_H
#define ORRERY_EXT_ADAPTERS_H

#include "orrery/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ORR_ADAPTER_MOST_PARTS 8

/* A node that reads a weight which an adapter is for. */
typedef struct orr_adapter_point {
    orr_header header;
    const char* op;         /* the node's operator */
    const orr_attrs* attrs; /* its attributes */
    uint32_t n_ins;
    const orr_value* ins; /* its inputs */
    uint32_t weight;      /* which of them is the weight, or what cut_op gives of it */
    const char* cut_op;   /* an operator between the weight and the node, which gives a view of it; NULL: none */
    const orr_attrs* cut_attrs;
    const char* weight_name; /* the checkpoint's tensor */
    int32_t weight_rank;
    int64_t weight_shape[ORR_MAX_RANK]; /* of the whole weight, as the checkpoint has it */
    /* Above 0: of this many heads of 2 D rows each, the checkpoint has the adapter's rows 0, D, 1, D + 1 … */
    int64_t interleaved_heads;
    orr_value y;            /* what the node gives, f32 */
    /* The adapter's tensors for it, in the order of orr_adapter_kind.parts; 0: it has none; any float type. Of a weight that is a stack [X, N, K] either those
     * of X modules, each [..], as one [X, ..], with zeros where a module has none; or those of one module, as the adapter has them. */
    const orr_value* parts;
    const char* const* part_names;
    double factor;          /* as orr_adapter_kind.factor gave it */
    orr_value scale;        /* f32 [1]: the session's, known at run time */
    int64_t first_row, rows; /* rows above 0: the adapter is for that many rows a weight, of which this one has those from first_row on */
} orr_adapter_point;

typedef struct orr_adapter_kind {
    orr_header header;
    const char* id;           /* PEFT's peft_type in small letters: "lora" */
    const char* summary;      /* for people: what it does, with its formula */
    const char* const* parts; /* endings of a module's tensor names, NULL-terminated, at most ORR_ADAPTER_MOST_PARTS: "lora_A.weight" …; each may be missing */
    /* Reads adapter_config.json (text of an object) and refuses what it asks for and the kind does not do, naming the key. *config is handed to the calls
     * below. */
    orr_status (*configure)(const orr_host* host, const char* config_json, void** config);
    /* The constant factor of one module. parts: its tensors' descriptions, NULL where it has none; members: of how many weights they are together, 1 but for
     * a stack's. Fails where they do not go with each other or with the configuration. */
    orr_status (*factor)(const orr_host* host, void* config, const char* module, const orr_tensor_entry* const* parts, int64_t members, double* factor);
    void (*destroy)(void* config);
    /* Builds and gives what takes the place of y, of its shape. Failures are the builder's: an operator that the kind cannot join, parts
     * whose shapes do not go with the weight's (naming both). */
    orr_value (*build)(orr_builder* b, const orr_adapter_point* point);
    /* Gives the node's value by smaller nodes, which `build` can join; 0: it can join the node as it is. point: without y, parts and scale. NULL: never. */
    orr_value (*open)(orr_builder* b, const orr_adapter_point* point);
    /* Whether the configuration has the adapter replace a whole parameter ("weight", "bias") of a module by one of its tensors. NULL: never. */
    bool (*replaces)(void* config, const char* module, const char* parameter);
} orr_adapter_kind;

typedef struct orr_adapters {
    orr_header header;
    uint32_t count;
    const orr_adapter_kind* const* items;
} orr_adapters;
#define ORR_EXT_ADAPTERS "orr.adapters/1"

#ifdef __cplusplus
}
#endif
#endif
