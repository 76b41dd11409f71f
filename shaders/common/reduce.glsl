// Sums and maxima over ORR_LANES neighbouring invocations of a workgroup of ORR_GROUP, both powers of two; every invocation gets
// the result of its own. ORR_LANES is ORR_GROUP where it is not defined. Must be reached by all invocations of the workgroup.
// Plain: a tree through shared memory, whose order depends on ORR_LANES alone. ORR_SUBGROUP: over subgroups, then over these.
#ifndef ORR_REDUCE_GLSL
#define ORR_REDUCE_GLSL
#ifndef ORR_LANES
#define ORR_LANES ORR_GROUP
#endif
shared float orr_reduce_[ORR_GROUP];

#ifdef ORR_SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

// Only for ORR_LANES = ORR_GROUP.
float group_sum(float x) {
    const float part = subgroupAdd(x);
    if (subgroupElect()) orr_reduce_[gl_SubgroupID] = part;
    barrier();
    float sum = orr_reduce_[0];
    for (uint i = 1; i < gl_NumSubgroups; i++) sum += orr_reduce_[i];
    barrier();
    return sum;
}

float group_max(float x) {
    const float part = subgroupMax(x);
    if (subgroupElect()) orr_reduce_[gl_SubgroupID] = part;
    barrier();
    float most = orr_reduce_[0];
    for (uint i = 1; i < gl_NumSubgroups; i++) most = max(most, orr_reduce_[i]);
    barrier();
    return most;
}
#else
float group_sum(float x) {
    const uint i = gl_LocalInvocationID.x, lane = i % ORR_LANES;
    orr_reduce_[i] = x;
    barrier();
    for (uint step = ORR_LANES / 2; step > 0; step >>= 1) {
        if (lane < step) orr_reduce_[i] += orr_reduce_[i + step];
        barrier();
    }
    const float sum = orr_reduce_[i - lane];
    barrier();
    return sum;
}

float group_max(float x) {
    const uint i = gl_LocalInvocationID.x, lane = i % ORR_LANES;
    orr_reduce_[i] = x;
    barrier();
    for (uint step = ORR_LANES / 2; step > 0; step >>= 1) {
        if (lane < step) orr_reduce_[i] = max(orr_reduce_[i], orr_reduce_[i + step]);
        barrier();
    }
    const float most = orr_reduce_[i - lane];
    barrier();
    return most;
}
#endif
#endif
