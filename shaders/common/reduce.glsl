// Sums and maxima over a workgroup of ORR_GROUP invocations, a power of two; every invocation gets the result. Tree through
// shared memory: its order depends on ORR_GROUP alone. Must be reached by all invocations.
#ifndef ORR_REDUCE_GLSL
#define ORR_REDUCE_GLSL
shared float orr_reduce_[ORR_GROUP];

float group_sum(float x) {
    const uint i = gl_LocalInvocationID.x;
    orr_reduce_[i] = x;
    barrier();
    for (uint step = ORR_GROUP / 2; step > 0; step >>= 1) {
        if (i < step) orr_reduce_[i] += orr_reduce_[i + step];
        barrier();
    }
    const float sum = orr_reduce_[0];
    barrier();
    return sum;
}

float group_max(float x) {
    const uint i = gl_LocalInvocationID.x;
    orr_reduce_[i] = x;
    barrier();
    for (uint step = ORR_GROUP / 2; step > 0; step >>= 1) {
        if (i < step) orr_reduce_[i] = max(orr_reduce_[i], orr_reduce_[i + step]);
        barrier();
    }
    const float most = orr_reduce_[0];
    barrier();
    return most;
}
#endif
