/* Kernels for Vulkan (orr_kernel.device "vulkan"), and what a host that has a Vulkan device of its own gives the engine.
 *
 * A kernel brings SPIR-V and records dispatches; memory, barriers between nodes, pipelines and submission are the
 * engine's. There are no descriptors: a tensor is an address (VK_KHR_buffer_device_address, core in 1.2) that a shader
 * takes in its push constants.
 *
 * prepare is called as for any kernel; orr_prepare.device is the orr_vulkan_device. workspace() asks for device memory.
 * run is called when a plan is recorded, at least twice (once to learn which pipelines to build) and again where
 * addresses or the bound of a submission change, never when the plan runs: it may depend on shapes, attributes and
 * addresses alone. What changes from run to run lies in device memory:
 * the inputs, and for states the structures below. orr_run.device is the orr_vulkan_recorder. */
#ifndef ORRERY_EXT_VULKAN_H
#define ORRERY_EXT_VULKAN_H

#include "orrery/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- device */

/* What a device has, as enabled. */
enum {
    ORR_VULKAN_F16 = 1,             /* arithmetic in f16 */
    ORR_VULKAN_INT8 = 2,            /* arithmetic in 8-bit integers */
    ORR_VULKAN_INT16 = 4,           /* arithmetic in 16-bit integers */
    ORR_VULKAN_STORAGE_16 = 8,      /* 16-bit members in buffers */
    ORR_VULKAN_STORAGE_8 = 16,      /* 8-bit members in buffers */
    ORR_VULKAN_INT_DOT = 32,        /* 4x8-bit packed integer dot products, in hardware */
    ORR_VULKAN_SUBGROUP_SIZE = 64,  /* the subgroup size can be required */
    ORR_VULKAN_COOPMAT = 128,       /* VK_KHR_cooperative_matrix, f16 x f16 with f32 sums, 16x16x16 */
    ORR_VULKAN_COOPMAT2 = 256,      /* VK_NV_cooperative_matrix2: workgroup scope, flexible sizes, tensor addressing, conversions */
    ORR_VULKAN_BF16 = 512,          /* VK_KHR_shader_bfloat16 with cooperative matrices */
    ORR_VULKAN_MEMORY_MODEL = 1024, /* device scope of the Vulkan memory model */
    ORR_VULKAN_SUBGROUPS = 2048,    /* basic, arithmetic, ballot and shuffle operations in compute */
    /* ORR_VULKAN_COOPMAT in 16x8x16 too, in a driver whose invocations hold what those of PTX's mma.m16n8k16 do */
    ORR_VULKAN_COOPMAT_MMA = 4096
};

struct orr_vulkan_shader;
typedef struct orr_vulkan_device orr_vulkan_device;
struct orr_vulkan_device {
    orr_header header;
    const char* name;
    uint32_t api_version; /* as Vulkan packs it */
    uint32_t vendor_id, device_id, driver_id, driver_version;
    uint64_t features; /* ORR_VULKAN_* */
    uint32_t subgroup, subgroup_min, subgroup_max;
    uint32_t shared_bytes;          /* of one workgroup */
    uint32_t group_invocations;     /* of one workgroup, at most */
    uint32_t group_size[3];
    uint32_t groups[3];             /* of one dispatch, at most */
    uint32_t push_bytes;            /* at least 128 */
    uint32_t cores;                 /* multiprocessors; an estimate where the driver does not tell */
    bool integrated, software;      /* shares memory with the processor; is the processor */
    /* Why a shader must not be used here (it failed its self-test, its driver is known to build it wrong, or the host leaves
     * it out), or NULL. Static text of the device. Any thread. */
    const char* (*refuses)(const orr_vulkan_device* d, const struct orr_vulkan_shader* s);
};

/* orr_tensor.buffer of a tensor in device memory: `bytes` bytes of a VkBuffer, from `offset` on. Also what a host and an
 * engine on the host's device show each other of their buffers (orr_named_tensor.buffer, below). */
typedef struct orr_vulkan_buffer {
    orr_header header;
    void* handle; /* VkBuffer */
    uint64_t offset;
    uint64_t address; /* of what lies at `offset`; 256-byte aligned, of a host's buffer 64-byte aligned */
    uint64_t bytes;
    uint32_t usage; /* VkBufferUsageFlags that it was made with */
} orr_vulkan_buffer;

/* Address of a tensor's first element; 0 for an absent one. */
static inline uint64_t orr_vulkan_address(const orr_tensor* t) {
    return t && t->buffer ? ((const orr_vulkan_buffer*)t->buffer)->address + t->offset : 0;
}

/* What lies at the address of a state, one for each batch row.
 * layout "paged": orr_vulkan_paged.  layout "rows": the address of the row, 8 bytes. */
typedef struct orr_vulkan_paged {
    uint64_t pages; /* address of an array of addresses; page p as orr_paged tells */
    int32_t past, length, first, page_tokens;
} orr_vulkan_paged;

/* ---------------------------------------------------------------- recording */

/* SPIR-V of one compute shader with entry point "main"; static storage of the plugin. */
typedef struct orr_vulkan_shader {
    orr_header header;
    const char* name;
    const uint32_t* code; /* NULL: the build left it out */
    uint64_t code_bytes;
    uint64_t features;    /* ORR_VULKAN_* that it needs */
    uint32_t subgroup;    /* a subgroup size that it requires, 0: any */
} orr_vulkan_shader;

typedef struct orr_vulkan_dispatch {
    orr_header header;
    const orr_vulkan_shader* shader;
    const uint32_t* constants; /* specialisation constants 0 … n_constants-1, 32 bits each */
    uint32_t n_constants;
    const void* push;
    uint32_t push_bytes; /* a multiple of 4, at most orr_vulkan_device.push_bytes */
    uint32_t groups[3];
} orr_vulkan_dispatch;

/* What lies at an address that `fault` gave: zeros before each run. A shader that finds what the run cannot go on with, a number
 * outside a table, sets these, by one invocation of the run, and reads nothing there; nothing that the run gives is kept. */
typedef struct orr_vulkan_fault {
    uint32_t set;   /* not 0: the others hold */
    uint32_t place; /* where it stands, counted from 0 */
    int64_t value;
} orr_vulkan_fault;

typedef struct orr_vulkan_recorder orr_vulkan_recorder;
struct orr_vulkan_recorder {
    orr_header header;
    const orr_vulkan_device* device;
    /* Address of what prepare asked for with workspace(); 0 when it did not. */
    uint64_t workspace;
    orr_status (*dispatch)(const orr_vulkan_recorder* r, const orr_vulkan_dispatch* d);
    /* What this node dispatches from here on sees what it dispatched before. */
    void (*barrier)(const orr_vulkan_recorder* r);
    /* Address of n 32-bit words of this node's own, zero before the first run; later runs find what the run before left. For
     * counters by which workgroups of one dispatch find out which of them is the last; whoever is sets them back. 0: no memory
     * is left, dispatch will tell. */
    uint64_t (*zeros)(const orr_vulkan_recorder* r, uint32_t n);
    /* Address of an orr_vulkan_fault, 16-byte aligned, in the host's memory: shaders reach it slowly. Once it is set the run fails as
     * a kernel of the processor does, at the end of the submission: ORR_INVALID_ARGUMENT with `text`, which is copied, its {value} and
     * {place} replaced. 0: no memory is left, dispatch will tell. */
    uint64_t (*fault)(const orr_vulkan_recorder* r, const char* text);
};

/* ---------------------------------------------------------------- a host's own device */

/* orr_engine_options.vulkan. Handles are Vulkan's, dispatchable ones as void*. The host keeps them alive until the
 * engine and all that was made from it are released; extensions and features are read in orr_engine_create alone.
 * Needed: Vulkan 1.2 with bufferDeviceAddress and timelineSemaphore enabled; orr_engine_create fails and names what is
 * missing. Other features make more and faster kernels usable (ORR_VULKAN_*); the engine enables none by itself.
 * A device that was lost stays lost: the host makes another one, and another engine. */
typedef struct orr_vulkan_host {
    orr_header header;
    void* get_instance_proc_addr; /* PFN_vkGetInstanceProcAddr; NULL: the system's loader */
    void* instance;               /* NULL: the engine makes its own, and its own device */
    void* physical_device;
    void* device;
    void* queue;
    uint32_t queue_family; /* with compute */
    uint32_t api_version;  /* that the instance was made for */
    /* As enabled when the device was made: names, NULL-terminated, and const VkPhysicalDeviceFeatures2* with its chain. */
    const char* const* extensions;
    const void* features;
    /* Held around every use of the queue. Both or neither; neither: the host does not use the queue while the engine does.
     * Called on any thread that runs or makes a plan, never twice by one thread at once; the engine holds the lock for one
     * vkQueueSubmit at a time and waits for nothing meanwhile. */
    void (*lock_queue)(void* user);
    void (*unlock_queue)(void* user);
    void* user;
} orr_vulkan_host;

/* ---------------------------------------------------------------- tensors and semaphores of the host
 *
 * On a model of the host's own device ("vulkan" of an engine with orr_engine_options.vulkan) tensors cross without
 * passing through the host's memory. All of it is for the next run alone, however that is driven.
 *
 * An input: orr_named_tensor.data NULL and .buffer the host's. Kernels read it where it lies. It needs the usage
 * VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT and TRANSFER_SRC_BIT (for steps of the processor), its address, 64-byte
 * aligned, and room for the tensor; its type is the model's, contiguous and row-major: nothing is converted. The struct
 * is copied; the buffer stays, and is not written, until the run has ended. A plan is recorded for the addresses that
 * it reads, and keeps the last four sets of them: a host that takes turns among up to four buffers records once for each.
 *
 * An output: named in orr_vulkan_share.outputs. It stays on the device; orr_session_output then gives no data but
 * .buffer, the engine's, contiguous and row-major: to be read (by shaders or transfers) and not written, until the next
 * run, reset, trim, load or release; work that may still read it when the next run begins is among that run's waits.
 * Where the share gives a buffer of the host's, of usage VK_BUFFER_USAGE_TRANSFER_DST_BIT, the output is also copied
 * there on the device, at the end of the run. What a step of the processor computes is brought to the device.
 *
 * All buffers belong to the family of the queue that the engine was given, or are VK_SHARING_MODE_CONCURRENT.
 *
 * Semaphores: the run's first submission waits for `waits`, on the device, and its last one gives `signals`; so nothing
 * of the run reads or writes the host's buffers before, and all is written after. A run that fails or is cancelled, also
 * in the call that should begin it, gives `signals` too once `waits` are reached, so that nobody waits for ever: the
 * status tells whether the outputs are good. On a lost device nothing is given. Waits must be reached within a minute of
 * the submission, else the device counts as lost; those that work on the shared queue gives, by work submitted before
 * the run begins (what stands behind the run in its queue waits for the run), and work there that waits for `signals` is
 * submitted after the run has ended. On other queues the order is free. A signal's value is above what its semaphore
 * holds when the run begins and above what the run waits for of it; a run with another one is refused
 * (ORR_INVALID_ARGUMENT) before anything is submitted, and that signal is not given; of two of one semaphore, which are
 * refused too, both may be. */
typedef struct orr_vulkan_semaphore {
    orr_header header;
    void* handle; /* VkSemaphore of type VK_SEMAPHORE_TYPE_TIMELINE */
    uint64_t value;
} orr_vulkan_semaphore;

typedef struct orr_vulkan_output {
    orr_header header;
    const char* name;
    const orr_vulkan_buffer* buffer; /* of the host's, to copy it to; NULL: none */
} orr_vulkan_output;

/* Of orr_session_share. */
typedef struct orr_vulkan_share {
    orr_header header;
    uint32_t wait_count;
    uint32_t signal_count;
    const orr_vulkan_semaphore* const* waits;
    const orr_vulkan_semaphore* const* signals;
    uint32_t output_count;
    const orr_vulkan_output* const* outputs; /* among the outputs of the run */
} orr_vulkan_share;

#ifdef __cplusplus
}
#endif
#endif
