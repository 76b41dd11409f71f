/* example.lerp/1: y[i] = a[i] + t * (b[i] - a[i])
 * a, b, y: one shape, f32. A plugin in C99 from plugin.h alone. */
#include <orrery/plugin.h>
#include <stdio.h>
#include <string.h>

enum { kA = 0, kB = 1 };
/* About what a thread must be given for handing it over to pay. */
enum { kElemsPerChunk = 32768 };

static int64_t elements(const orr_tensor* t) {
    int64_t n = 1;
    int32_t axis;
    for (axis = 0; axis < t->rank; axis++) n *= t->shape[axis];
    return n;
}

static bool is_contiguous(const orr_tensor* t) {
    int64_t expect = (int64_t)sizeof(float);
    int32_t axis;
    for (axis = t->rank - 1; axis >= 0; axis--) {
        if (t->shape[axis] != 1 && t->stride_bytes[axis] != expect) return false;
        expect *= t->shape[axis];
    }
    return true;
}

/* Element i of t in row-major order, whatever its strides. */
static float* at(const orr_tensor* t, int64_t i) {
    int64_t offset = 0;
    int32_t axis;
    for (axis = t->rank - 1; axis >= 0; axis--) {
        offset += i % t->shape[axis] * t->stride_bytes[axis];
        i /= t->shape[axis];
    }
    return (float*)((char*)t->data + offset);
}

/* ---------------------------------------------------------------- shapes */

/* Dimensions may be symbolic: equal() says 0 only where they are known to differ. */
static orr_status infer(const orr_infer* i) {
    const orr_value_info *a = i->inputs[kA], *b = i->inputs[kB];
    orr_value_info* y = i->outputs[0];
    char text[128];
    int32_t axis;
    if (a->rank != b->rank) {
        snprintf(text, sizeof text, "example.lerp/1: a has rank %d, b has rank %d", (int)a->rank, (int)b->rank);
        return i->host->fail(i->host, ORR_INVALID_ARGUMENT, text);
    }
    for (axis = 0; axis < a->rank; axis++) {
        if (i->dims->equal(i->dims, a->dims[axis], b->dims[axis]) == 0) {
            snprintf(text, sizeof text, "example.lerp/1: axis %d of a against b: %lld against %lld", (int)axis, (long long)a->dims[axis],
                     (long long)b->dims[axis]);
            return i->host->fail(i->host, ORR_INVALID_ARGUMENT, text);
        }
    }
    y->type = ORR_TYPE_F32;
    y->rank = a->rank;
    for (axis = 0; axis < a->rank; axis++) y->dims[axis] = a->dims[axis];
    return ORR_OK;
}

/* ---------------------------------------------------------------- the definition */

static orr_status run_reference(const orr_run* run) {
    const orr_tensor *a = run->inputs[kA], *b = run->inputs[kB], *y = run->outputs[0];
    const double t = run->attrs->get_float(run->attrs, "t");
    const int64_t n = elements(y);
    int64_t i;
    for (i = 0; i < n; i++) {
        const double from = *at(a, i), to = *at(b, i);
        *at(y, i) = (float)(from + t * (to - from));
    }
    return ORR_OK;
}

/* ---------------------------------------------------------------- the fast kernel */

typedef struct lerp_job {
    const float *a, *b;
    float* y;
    float t;
    int64_t n;
} lerp_job;

static void run_chunk(void* arg, int64_t chunk, uint32_t thread) {
    const lerp_job* job = (const lerp_job*)arg;
    const int64_t begin = chunk * kElemsPerChunk, left = job->n - begin, count = left < kElemsPerChunk ? left : kElemsPerChunk;
    const float *a = job->a + begin, *b = job->b + begin, t = job->t;
    float* y = job->y + begin;
    int64_t i;
    (void)thread;
    for (i = 0; i < count; i++) y[i] = a[i] + t * (b[i] - a[i]);
}

static bool supports(const orr_prepare* p, char* reason, size_t reason_size) {
    if (is_contiguous(p->inputs[kA]) && is_contiguous(p->inputs[kB]) && is_contiguous(p->outputs[0])) return true;
    if (reason && reason_size) snprintf(reason, reason_size, "a tensor is not contiguous");
    return false;
}

static orr_status run_cpu(const orr_run* run) {
    lerp_job job;
    job.a = (const float*)run->inputs[kA]->data;
    job.b = (const float*)run->inputs[kB]->data;
    job.y = (float*)run->outputs[0]->data;
    job.t = (float)run->attrs->get_float(run->attrs, "t");
    job.n = elements(run->outputs[0]);
    if (job.n > 0) run->parallel_for(run, (job.n + kElemsPerChunk - 1) / kElemsPerChunk, run_chunk, &job);
    return ORR_OK;
}

/* ---------------------------------------------------------------- tables */

static uint64_t flops(const orr_prepare* p) { return 3 * (uint64_t)elements(p->outputs[0]); }

static const orr_port kPortA = {ORR_HEADER(orr_port), "a", 0, "f32", "any shape", NULL, 0};
static const orr_port kPortB = {ORR_HEADER(orr_port), "b", 0, "f32", "as a", NULL, 0};
static const orr_port kPortY = {ORR_HEADER(orr_port), "y", 0, "f32", "as a", NULL, 0};
static const orr_port* const kInputs[] = {&kPortA, &kPortB};
static const orr_port* const kOutputs[] = {&kPortY};

static const orr_attr_desc kAttrT = {ORR_HEADER(orr_attr_desc), "t", ORR_ATTR_FLOAT, NULL, "0 gives a, 1 gives b", NULL, 0, 0};
static const orr_attr_desc* const kAttrs[] = {&kAttrT};

static const orr_kernel kCpu = {ORR_HEADER(orr_kernel), "cpu", "cpu", 0, supports, NULL, run_cpu, NULL};
static const orr_kernel kReference = {ORR_HEADER(orr_kernel), "reference", "cpu", ORR_KERNEL_REFERENCE, NULL, NULL, run_reference, NULL};
static const orr_kernel* const kKernels[] = {&kCpu, &kReference}; /* best first */

static const orr_operator kLerp = {ORR_HEADER(orr_operator),
                                   "example.lerp/1",
                                   "y = a + t (b - a)",
                                   0,
                                   2,
                                   1,
                                   1,
                                   2,
                                   kInputs,
                                   kOutputs,
                                   kAttrs,
                                   kKernels,
                                   infer,
                                   NULL,
                                   flops,
                                   NULL,
                                   NULL};
static const orr_operator* const kItems[] = {&kLerp};
static const orr_operators kOperators = {ORR_HEADER(orr_operators), 1, kItems};

static const void* get_extension(const char* id) { return strcmp(id, ORR_EXT_OPERATORS) == 0 ? &kOperators : NULL; }

ORR_EXPORT const orr_plugin* orr_plugin_entry(const orr_host* host) {
    static const orr_plugin plugin = {ORR_HEADER(orr_plugin), "example.lerp", "1.0.0", "MIT", ORR_SANITIZER, get_extension};
    (void)host;
    return &plugin;
}
